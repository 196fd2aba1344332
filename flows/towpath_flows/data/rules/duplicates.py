"""Are rows there twice?"""

from typing import Final

import numpy as np
import pandas as pd

from towpath_flows.data.rules.base import Facts, Measure, judged
from towpath_gitops.records.evidence import Verdict

_TELLING: Final = 0.5  # distinct values for each row, from which a column tells rows apart
_ALIKE: Final = "; no column tells rows apart, so these may be alike by chance: name an `entity`"


def judge(facts: Facts) -> list[Measure]:
    """Count rows that equal an earlier row in every column of the schema."""
    limit = facts.spec.quality.duplicates
    hashes = pd.util.hash_pandas_object(facts.frame, index=False)
    share = float(hashes.duplicated().mean())
    gate = f"repeated rows ≤ {limit:.0%}"
    words = f"{share:.1%} of the rows equal an earlier row in every column"
    found = Measure(gate, Verdict.PASS, words, measured=share, limit=limit)
    return [doubted(facts, judged(found, rows=len(facts.frame)))]


def overlapping(facts: Facts) -> float:
    """Return the share of test rows that equal a training row in every column of the schema."""
    known = pd.util.hash_pandas_object(facts.splits.train, index=False).to_numpy()
    asked = pd.util.hash_pandas_object(facts.splits.test, index=False).to_numpy()
    return float(np.mean(np.isin(asked, known)))


def doubted(facts: Facts, measure: Measure) -> Measure:
    """Return the measure; a failure becomes inconclusive where rows can be alike without being the same."""
    if measure.verdict is not Verdict.FAIL or _told_apart(facts.frame):
        return measure
    return Measure(
        measure.gate, Verdict.INCONCLUSIVE, measure.message + _ALIKE, "", measure.measured, measure.limit,
        measure.interval,
    )  # fmt: skip


def _told_apart(frame: pd.DataFrame) -> bool:
    distinct = frame.drop_duplicates()
    return any(distinct[name].nunique() >= _TELLING * len(distinct) for name in distinct)
