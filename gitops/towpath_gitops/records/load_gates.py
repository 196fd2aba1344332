"""Figures of a load test become verdicts. Pure: whoever reads the evidence judges it again and must find the same.

A limit inside the interval is neither a pass nor a fail. Against the champion that means: it fails only when the whole
interval, which is never narrower than the noise, lies beyond the margin, so that it is both significant and material.
"""

import math
from collections.abc import Iterator
from typing import Final

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.evidence import Evidence, Finding, Verdict
from towpath_gitops.records.figures import Measured, read
from towpath_gitops.records.load import Against, LoadFigures, failed

FEWEST_ROUNDS: Final = 5  # below, resamples of rounds are too few to tell anything
_MOST_ROUNDS: Final = 100_000  # beyond, no number of rounds will settle it
_Z: Final = 1.959964  # of the normal distribution, at 95 %


def judged(figures: LoadFigures) -> tuple[Finding, ...]:
    """Return the verdict of every gate: those of `serve` first, then those against the champion."""
    return (*_promises(figures), *(_rivalry(figures, each) for each in figures.against if each.measure in _RIVALRY))


def contradictions(evidence: Evidence) -> Iterator[str]:
    """Say what in load evidence does not hang together: its rounds, its summary, its findings."""
    try:
        figures = read(evidence, LoadFigures)
    except InvalidFileError as error:
        yield f"its figures contradict each other or are none: {_last(error.why) or error.what}"
        return
    if (figures.champion is None) != (evidence.champion is None):
        yield "it names a champion and measured none, or the other way round"
    said = {each.gate: each for each in evidence.findings}
    found = {each.gate: each for each in judged(figures)}
    for gate in sorted(said.keys() ^ found.keys()):
        yield f"its figures {'do not judge' if gate in said else 'judge'} “{gate}”, its findings {_other(gate in said)}"
    for gate in sorted(said.keys() & found.keys()):
        if _substance(said[gate]) != _substance(found[gate]):
            yield f"it says {said[gate].verdict} of “{gate}”, its figures give {found[gate].verdict}"


def _other(judges: bool) -> str:  # noqa: FBT001 (a fact)
    return "do" if judges else "do not"


def _last(words: str) -> str:
    return " ".join(words.split())[-300:]


def _substance(finding: Finding) -> tuple[object, ...]:
    return finding.verdict, finding.measured, finding.limit, finding.interval


# --- what model.yaml promises -------------------------------------------------------------------------------------


def _promises(figures: LoadFigures) -> Iterator[Finding]:
    limits, served = figures.limits, figures.challenger
    for name, label, limit in (("p95_ms", "p95", limits.p95_ms), ("p99_ms", "p99", limits.p99_ms)):
        if limit is not None:
            yield _latency(figures, label, getattr(served, name), limit)
    yield _rate(figures)
    yield _errors(figures)


def _latency(figures: LoadFigures, label: str, measured: Measured, limit: float) -> Finding:
    verdict = _side(figures, measured, limit, ceiling=True)
    words = (
        f"{label} is {measured.value:.3g} ms (95% interval {measured.low:.3g} to {measured.high:.3g}) "
        f"at {figures.setting.rate:g} requests a second; {limit:g} ms are promised"
    )
    return _finding(figures, f"{label} ≤ {limit:g} ms", verdict, words, measured, limit)


def _rate(figures: LoadFigures) -> Finding:
    measured, limit = figures.challenger.rate, figures.limits.rate
    words = (
        f"It bears {measured.value:,.0f} requests a second (95% interval {measured.low:,.0f} to {measured.high:,.0f}) "
        f"over {figures.setting.users} connections; {limit:g} are promised"
    )
    verdict = _side(figures, measured, limit, ceiling=False)
    return _finding(figures, f"rate ≥ {limit:g}/s", verdict, words, measured, limit)


def _errors(figures: LoadFigures) -> Finding:
    measured, limit = figures.challenger.errors, figures.limits.errors
    errors, requests = failed(figures.turns)
    words = f"{errors:,} of {requests:,} requests failed ({measured.value:.3%}, 95% interval to {measured.high:.3%})"
    verdict = _side(figures, measured, limit, ceiling=True)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        needed = _rounds_for_share(measured, limit, requests, len(figures.rounds))
    return _told(
        figures, f"errors ≤ {limit * 100:.3g}%", verdict, f"{words}; {limit * 100:.3g}% may", measured, limit, needed
    )


# --- against the champion -----------------------------------------------------------------------------------------

_RIVALRY: Final = {
    "p95_ms": ("p95 ≤ champion + {:.0%}", "p95 takes {:.3f} times as long as the champion's"),
    "rate": ("rate ≥ champion ÷ {:g}", "It bears {:.3f} times as many requests as the champion"),
}


def _rivalry(figures: LoadFigures, against: Against) -> Finding:
    """Judge one measure: at most the margin slower, or rarer by the same factor."""
    margin, ratio, ceiling = figures.limits.margin, against.ratio, against.measure == "p95_ms"
    limit = 1 + margin if ceiling else 1 / (1 + margin)
    gate, words = _RIVALRY[against.measure]
    told = (
        f"{words.format(ratio.value)} (95% interval {ratio.low:.3f} to {ratio.high:.3f}) in {len(figures.rounds)} "
        f"rounds; the champion is up to {math.expm1(against.reach):.1%} from itself"
    )
    verdict = _side(figures, ratio, limit, ceiling=ceiling)
    name = gate.format(margin if ceiling else 1 + margin)
    return _finding(figures, name, verdict, told, ratio, limit)


# --- verdicts -----------------------------------------------------------------------------------------------------


def _side(figures: LoadFigures, measured: Measured, limit: float, *, ceiling: bool) -> Verdict:
    """Return on which side of the limit the whole interval lies; inconclusive where it lies on neither."""
    if len(figures.rounds) < FEWEST_ROUNDS:
        return Verdict.INCONCLUSIVE
    best, worst = (measured.low, measured.high) if ceiling else (-measured.high, -measured.low)
    bound = limit if ceiling else -limit
    if worst <= bound:
        return Verdict.PASS
    return Verdict.FAIL if best > bound else Verdict.INCONCLUSIVE


def rounds_to_settle(measured: Measured, limit: float, rounds: int) -> int | None:
    """Return the rounds in all at which the interval would no longer hold `limit`, if the value stays where it is.

    Intervals of ratios shrink, as logarithms, with the square root of the rounds. None where no number of rounds
    would do, or the value lies on the limit.
    """
    if min(measured.low, measured.value, limit) <= 0:
        return None
    value, aim = math.log(measured.value), math.log(limit)
    reach = value - math.log(measured.low) if value >= aim else math.log(measured.high) - value
    distance = abs(value - aim)
    return _ceiled(rounds * (reach / distance) ** 2) if distance else None


def _rounds_for_share(measured: Measured, limit: float, requests: int, rounds: int) -> int | None:
    """Return the same for a share: where nothing failed, Wilson's interval ends at z² / (n + z²)."""
    if not measured.value:
        return _ceiled(_Z**2 * (1 - limit) / limit / requests * rounds) if limit else None
    reach = measured.value - measured.low if measured.value >= limit else measured.high - measured.value
    distance = abs(measured.value - limit)
    return _ceiled(rounds * (reach / distance) ** 2) if distance else None


def _ceiled(rounds: float) -> int | None:
    return max(math.ceil(rounds), FEWEST_ROUNDS) if rounds <= _MOST_ROUNDS else None


def _finding(  # noqa: PLR0913, PLR0917 (a finding needs its gate, words and figures)
    figures: LoadFigures, gate: str, verdict: Verdict, words: str, measured: Measured, limit: float
) -> Finding:
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        needed = rounds_to_settle(measured, limit, len(figures.rounds))
    return _told(figures, gate, verdict, words, measured, limit, needed)


def _told(  # noqa: PLR0913, PLR0917 (as above)
    figures: LoadFigures,
    gate: str,
    verdict: Verdict,
    words: str,
    measured: Measured,
    limit: float,
    needed: int | None,
) -> Finding:
    if verdict is Verdict.INCONCLUSIVE:
        words += f"; {_more(needed, len(figures.rounds))}"
    interval = measured.low, measured.high
    return Finding(gate=gate, verdict=verdict, message=words, measured=measured.value, limit=limit, interval=interval)


def _more(needed: int | None, rounds: int) -> str:
    if needed is None:
        return "it lies so near the limit that more rounds will not settle it"
    more = max(needed, FEWEST_ROUNDS) - rounds
    return (
        f"about {max(more, 1):,} more rounds would settle it" if max(more, 1) != 1 else "one more round may settle it"
    )
