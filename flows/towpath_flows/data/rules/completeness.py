"""Does every feature have values, and as many as it had for the last release?"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from towpath_flows.data.drift import Column
from towpath_flows.data.rules.base import CONFIDENCE, Facts, Measure, gravest, weighed
from towpath_gitops.records.evidence import Verdict


def judge(facts: Facts) -> list[Measure]:
    """Compare the share of rows with a value with the owner's limit, and with the last release's share."""
    return gravest([*_absolute(facts), *_fallen(facts)])


def _absolute(facts: Facts) -> list[Measure]:
    spec = facts.spec.quality.completeness
    present = facts.frame[list(facts.features)].notna().mean()
    measures = []
    for name, share in sorted(present.items(), key=lambda item: float(item[1])):
        limit = spec.columns.get(name, spec.min)
        verdict = Verdict.PASS if share >= limit else Verdict.FAIL
        words = f"{name} has a value in {share:.1%} of the rows"
        measures.append(Measure(f"completeness ≥ {limit:.0%}", verdict, words, name, float(share), limit))
    return measures


def _fallen(facts: Facts) -> list[Measure]:
    """Judge how far shares fell; both are estimates, so their difference has an interval (Wald, Bonferroni)."""
    from scipy.stats import norm  # noqa: PLC0415 (heavy)

    pairs, limit = facts.beside_past, facts.spec.quality.completeness.fall
    reach = norm.ppf(1 - (1 - CONFIDENCE) / 2 / max(len(pairs), 1))
    measures = []
    for name, sides in pairs.items():
        before, today = (float(_present(side).mean()) for side in sides)
        variance = sum(p * (1 - p) / len(side) for p, side in zip((before, today), sides, strict=True))
        fall = before - today
        interval = fall - reach * sqrt(variance), fall + reach * sqrt(variance)
        verdict, needed = weighed(fall, interval, limit, len(sides[1]))
        words = f"{name} had a value in {before:.1%} of the last release's rows, and has in {today:.1%}"
        measures.append(
            Measure(f"completeness falls ≤ {limit:.0%}", verdict, words, name, fall, limit, interval, needed)
        )
    return measures


def _present(values: Column) -> NDArray[np.bool_]:
    return np.asarray(values != "" if values.dtype == object else ~np.isnan(values))
