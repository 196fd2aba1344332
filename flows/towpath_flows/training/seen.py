"""What training saw, as the service and the monitor need it to know what is new: kept in the signature."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.sent import shortest
from towpath_flows.training.features import Features
from towpath_gitops.records.signature import Column, Seen, Signature

MOST_CATEGORIES: Final = 1_000  # different texts that are listed; a column with more names things rather than kinds
_TENTHS: Final = np.arange(1, 10) / 10


def with_seen(signature: Signature, learned: pd.DataFrame, answers: NDArray[Any]) -> Signature:
    """Return the signature with what the `learned` rows hold of each column, and the tenths of `answers` (n, k).

    Nothing is told of a sensitive column, nor of any while nobody has said which are. The answers are those to rows
    that were not learned from: a model is surer of what it has learned than it will ever be again.
    """
    kept = signature.sensitive

    def served(column: Column) -> NDArray[Any]:
        alone = Features(signature.model_copy(update={"inputs": (column,)}))
        return np.asarray(alone.x(learned)[column.name])  # one at a time: all would be a second table

    inputs = tuple(
        column
        if kept is None or column.name in kept
        else column.model_copy(update={"seen": _seen(column, served(column))})
        for column in signature.inputs
    )
    deciles = None if signature.task == "multiclass" else tuple(map(shortest, np.quantile(answers[:, 0], _TENTHS)))
    return signature.model_copy(update={"inputs": inputs, "deciles": deciles})


def _seen(column: Column, values: NDArray[Any]) -> Seen | None:
    """Return what is told of served values (n,): float32 with NaN, or str with ""."""
    if column.type == "boolean":
        return None
    if column.type == "string":
        texts = sorted(set(values.tolist()) - {""})
        return Seen(categories=tuple(texts)) if 0 < len(texts) <= MOST_CATEGORIES else None
    known = values[~np.isnan(values)]
    return Seen(minimum=shortest(known.min()), maximum=shortest(known.max())) if known.size else None
