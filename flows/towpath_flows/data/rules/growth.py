"""Do texts hold values that the last release never saw?"""

import numpy as np

from towpath_flows.data.rules.base import NO_PAST, Facts, Measure, gravest, judged
from towpath_gitops.records.evidence import Verdict


def judge(facts: Facts) -> list[Measure]:
    """Compare each text's share of rows with a new value with what chance lets expect.

    A sample in which many values occur once has not seen all that there are: of the next rows, the share of values
    that occur once in the sample will be new (Good 1953, *The population frequencies of species*). Only what goes
    beyond that counts.
    """
    limit = facts.spec.quality.growth
    gate = f"new categories ≤ {limit:.0%}"
    texts = {name: sides for name, sides in facts.beside_past.items() if sides[0].dtype == object}
    measures = []
    for name, (before, today) in texts.items():
        known, counts = np.unique(before.astype(str), return_counts=True)
        expected = float((counts == 1).sum() / len(before))
        values, codes = np.unique(today.astype(str), return_inverse=True)
        fresh = ~np.isin(values, known)
        share = max(0.0, float(np.mean(fresh[codes])) - expected)
        words = f"{share:.1%} of the rows have one of {int(fresh.sum()):,} new values of {name}, beyond chance"
        found = Measure(gate, Verdict.PASS, words, name, share, limit)
        measures.append(judged(found, rows=len(today), tests=len(texts)))
    measures.sort(key=lambda measure: -(measure.measured or 0))
    if not measures:
        words = NO_PAST if facts.past is None else "no feature is text"
        return [Measure(gate, Verdict.PASS, words, measured=0, limit=limit)]
    return gravest(measures)
