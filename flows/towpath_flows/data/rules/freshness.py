"""Is the newest row young enough, and of this world?"""

from datetime import timedelta
from typing import Final

from towpath_flows.data.rules.base import Facts, Measure
from towpath_gitops.records.base import format_duration
from towpath_gitops.records.evidence import Verdict

_SKEW: Final = timedelta(days=1)  # clocks and time zones differ by less


def judge(facts: Facts) -> list[Measure]:
    """Compare the newest row's age with the limit: its age now, or at the end of a window that is already past."""
    limit, time = facts.spec.quality.freshness, facts.spec.time
    gate = f"newest row ≤ {format_duration(limit)} old" if limit else "freshness"
    if time is None:
        verdict = Verdict.PASS if limit is None else Verdict.INCONCLUSIVE
        return [Measure(gate, verdict, "model.yaml names no time column, so no row tells its age")]
    newest = facts.frame[time].max().to_pydatetime()
    asked = min(facts.now, facts.until) if facts.until else facts.now
    age = asked - newest
    words = f"the newest row is of {newest:%Y-%m-%d %H:%M}, {max(age.total_seconds(), 0) / 86400:.1f} days old"
    if limit is None:
        return [Measure(gate, Verdict.PASS, f"{words}; no limit is set", time, age.total_seconds())]
    if newest > facts.now + _SKEW:
        words = f"the newest row is of {newest:%Y-%m-%d %H:%M}, which is still to come"
        return [Measure(gate, Verdict.FAIL, words, time, age.total_seconds(), limit.total_seconds())]
    verdict = Verdict.PASS if age <= limit else Verdict.FAIL
    return [Measure(gate, verdict, words, time, age.total_seconds(), limit.total_seconds())]
