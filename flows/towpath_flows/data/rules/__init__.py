"""Quality rules: what makes rows unfit to train on. One module each, one row in the table below."""

from typing import Final

from towpath_flows.data.rules import (
    completeness,
    duplicates,
    freshness,
    growth,
    leakage,
    overlap,
    ranges,
    shift,
    uniqueness,
    volume,
)
from towpath_flows.data.rules.base import Facts, Measure, Rule

__all__ = ["RULES", "Facts", "Measure", "Rule"]

# The key under `quality` in model.yaml → the module that judges by it.
RULES: Final[dict[str, Rule]] = {
    "leakage": leakage,
    "overlap": overlap,
    "duplicates": duplicates,
    "uniqueness": uniqueness,
    "completeness": completeness,
    "range": ranges,
    "growth": growth,
    "volume": volume,
    "freshness": freshness,
    "drift": shift,
}
