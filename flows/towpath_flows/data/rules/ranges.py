"""Do numbers lie where numbers of their kind lie? A changed unit shows here first."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from towpath_flows.data.rules.base import NO_PAST, Facts, Measure, gravest, judged
from towpath_gitops.records.evidence import Verdict

_TWO: Final = 2  # a column of so few values is a switch, which has no range


def judge(facts: Facts) -> list[Measure]:
    """Count values outside the owner's bounds, or else outside the last release's range, widened."""
    spec = facts.spec.quality.range
    bounds = dict(_bounds(facts))
    gate = f"values out of range ≤ {spec.stray:.0%}"
    measures = []
    for name, (low, high) in bounds.items():
        values = facts.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        share = float(np.mean((known < low) | (known > high)))
        words = f"{share:.2%} of {name} lie outside its range"
        if name not in facts.project.sensitive:
            words = f"{share:.2%} of {name} lie outside {low:g} to {high:g}; they reach from {known.min():g} to "
            words += f"{known.max():g}"
        found = Measure(gate, Verdict.PASS, words, name, share, spec.stray)
        measures.append(judged(found, rows=len(known), tests=len(bounds)))
    measures.sort(key=lambda measure: -(measure.measured or 0))
    if not measures:
        words = NO_PAST if facts.past is None else "no number has a range"
        return [Measure(gate, Verdict.PASS, f"no bounds are set, and {words}", measured=0, limit=spec.stray)]
    return gravest(measures)


def _bounds(facts: Facts) -> Iterator[tuple[str, tuple[float, float]]]:
    spec = facts.spec.quality.range
    for name, bound in spec.columns.items():
        if name in facts.frame:
            yield name, (_or(bound.min, -math.inf), _or(bound.max, math.inf))
    for name, (before, _) in facts.beside_past.items():
        if name in spec.columns or before.dtype == object:
            continue
        known = before[~np.isnan(before)]
        if len(np.unique(known)) > _TWO:
            more = spec.widen * float(np.ptp(known))
            yield name, (float(known.min()) - more, float(known.max()) + more)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
