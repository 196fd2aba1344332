"""Served values as callers write them in JSON: the way back from what an engine takes to what was asked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from towpath_gitops.records.golden import Value
from towpath_gitops.records.signature import Column


def as_sent(column: Column, served: Any) -> Value:  # noqa: ANN401 (a float32 or a str)
    """Return a served value as a caller would write it in JSON."""
    if column.type == "string":
        return None if served == "" and column.nullable else str(served)
    if np.isnan(served):
        return None
    kinds: dict[str, Callable[[Any], Value]] = {"integer": int, "boolean": bool, "number": shortest}
    return kinds[column.type](served)


def shortest(served: Any) -> float:  # noqa: ANN401 (a float32)
    """Return 0.1 for the float32 nearest to it, not the 0.10000000149… that a limit of 0.1 would refuse."""
    return float(np.format_float_scientific(np.float32(served), unique=True))
