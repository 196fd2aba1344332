"""Are there enough rows, and not suddenly far fewer?"""

from towpath_flows.data.rules.base import NO_PAST, Facts, Measure, gravest
from towpath_gitops.records.evidence import Verdict


def judge(facts: Facts) -> list[Measure]:
    """Compare the number of rows that have a target with the floor, and with the last release's number."""
    spec = facts.spec.quality.volume
    rows = int(facts.frame[facts.spec.target].notna().sum())
    enough = Verdict.PASS if rows >= spec.min else Verdict.FAIL
    floor = Measure(
        f"rows ≥ {spec.min:,}", enough, f"{rows:,} rows have a target", measured=rows, limit=spec.min,
        needed_rows=None if enough is Verdict.PASS else spec.min,
    )  # fmt: skip
    return gravest([_fallen(facts, rows), floor]) if enough is Verdict.PASS else [floor]


def _fallen(facts: Facts, rows: int) -> Measure:
    fall = facts.spec.quality.volume.fall
    gate = f"rows fall ≤ {fall:.0%}"
    if facts.past is None:
        return Measure(gate, Verdict.PASS, f"{rows:,} rows; {NO_PAST}", measured=rows)
    before = facts.past.rows
    if before is None:
        words = f"{rows:,} rows; the last release's evidence does not say how many it had"
        return Measure(gate, Verdict.INCONCLUSIVE, words, measured=rows)
    limit = before * (1 - fall)
    verdict = Verdict.PASS if rows >= limit else Verdict.FAIL
    return Measure(gate, verdict, f"{rows:,} rows; the last release had {before:,}", measured=rows, limit=limit)
