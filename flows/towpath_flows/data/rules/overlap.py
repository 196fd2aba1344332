"""Is the test easier than life, because its rows were learned from?"""

from towpath_flows.data.rules.base import Facts, Measure, judged
from towpath_flows.data.rules.duplicates import doubted, overlapping
from towpath_gitops.records.evidence import Verdict


def judge(facts: Facts) -> list[Measure]:
    """Count test rows that equal a training row in every column of the schema."""
    limit = facts.spec.quality.overlap
    share = overlapping(facts)
    words = f"{share:.1%} of the test rows equal a training row in every column"
    gate = f"copies of training rows in test ≤ {limit:.0%}"
    found = Measure(gate, Verdict.PASS, words, measured=share, limit=limit)
    return [doubted(facts, judged(found, rows=len(facts.splits.test)))]
