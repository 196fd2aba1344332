"""Windows: what was seen of a live release between two looks at it, and what follows from the last few. Pure.

Three-valued throughout. A window is good, bad, or tells nothing; and a verdict over windows is given only when those
that tell nothing could not change it, whatever they had been. So no data is never healthy, and never harm either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise, takewhile
from typing import Final

from pydantic import AwareDatetime

from towpath_gitops.delivery.traffic import Traffic
from towpath_gitops.records.base import Commit, Digest, Line, Record, format_duration
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.pointer import LaneName
from towpath_gitops.records.policy import Guard

FORGET_AFTER: Final = timedelta(days=1)  # what was seen before says nothing about now
# A timer is never exact: a look that comes this much of a window after the last one closes it.
_NEARLY: Final = 0.9
_P99: Final = 0.99


class Watched(Record):
    """What a look sees of one lane."""

    release: Digest
    before: Traffic  # counted until the look began
    after: Traffic  # counted when its own questions had been answered: here the next window begins
    verdict: Verdict | None = None  # of the verification; None when it was not made
    said: Line | None = None  # why it is not green


class Observation(Record):
    """One look at a service."""

    at: AwareDatetime
    commit: Commit  # of main, that declares what is watched
    service: str  # changes when the service is started anew, whose counts then begin at nothing
    lanes: dict[LaneName, Watched]

    def watches(self, lane: LaneName, release: str, commit: str) -> bool:
        """Return whether it looks at a release in a lane, as a commit of main declares it."""
        watched = self.lanes.get(lane)
        return watched is not None and (watched.release, self.commit) == (release, commit)


class Outcome(StrEnum):
    """What a window says of a release."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Window:
    """What happened to one release between two looks, and how it was verified at the second."""

    begins: datetime
    ends: datetime
    traffic: Traffic
    verdict: Verdict | None
    said: str = ""

    def outcome(self, guard: Guard) -> Outcome:
        """Return what the window says, by the limits of `guard`."""
        if self.faults(guard):
            return Outcome.BAD
        enough = self.traffic.requests >= guard.requests and self.verdict is Verdict.PASS
        return Outcome.GOOD if enough else Outcome.UNKNOWN

    def faults(self, guard: Guard) -> tuple[str, ...]:
        """Return what is bad about it, in figures; empty when nothing is, or nothing is known."""
        found = []
        if self.verdict in {Verdict.FAIL, Verdict.ERROR}:
            found.append(f"its verification fails: {self.said}".rstrip(": "))
        requests, share = self.traffic.requests, self.traffic.error_share
        if guard.errors is not None and requests >= guard.requests and share > guard.errors:
            found.append(f"errors {share:.1%} of {requests} requests (limit {guard.errors:.1%})")
        p99_s = self.traffic.quantile_s(_P99) if self.traffic.timed >= guard.requests else None
        if guard.p99 is not None and p99_s is not None and p99_s > guard.p99.total_seconds():
            found.append(f"p99 {latency(p99_s, self.traffic)} (limit {format_duration(guard.p99)})")
        return tuple(found)

    @property
    def p99_s(self) -> float | None:
        """The latency that 99 of 100 requests stay below; None without requests."""
        return self.traffic.quantile_s(_P99)


@dataclass(frozen=True)
class Judgement:
    """What the last few windows say together."""

    verdict: Verdict  # pass, fail or inconclusive
    good: int
    bad: int
    of: int  # how many windows count
    windows: tuple[Window, ...]  # oldest first; may be fewer
    figures: str  # the latest bad window, in words; or why it is inconclusive

    def __str__(self) -> str:
        """Say it in a line."""
        counted = f"{self.good} good and {self.bad} bad of the last {self.of} windows"
        return f"{counted}: {self.figures}" if self.figures else counted


def judge(windows: Sequence[Window], guard: Guard) -> Judgement:
    """Return what the last `guard.of` windows say: fail when `guard.bad` are bad, pass when so many cannot be.

    Windows that tell nothing, and those that have not been seen yet, could be either.
    """
    last = tuple(windows[-guard.of :])
    outcomes = [window.outcome(guard) for window in last]
    good, bad = outcomes.count(Outcome.GOOD), outcomes.count(Outcome.BAD)
    if bad >= guard.bad:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.PASS if guard.of - good < guard.bad else Verdict.INCONCLUSIVE
    return Judgement(verdict, good, bad, guard.of, last, _figures(last, guard, verdict))


def windows(
    observations: Sequence[Observation], lane: LaneName, release: str, commit: str, now: datetime
) -> tuple[Window, ...]:
    """Return the windows of a release in a lane, as a commit of main declares it, oldest first.

    They reach back as far as it was watched without a break, and no further than `FORGET_AFTER`. What claims to come
    from the future was written under a clock that was wrong, and is left out.
    """
    latest_first = reversed(current(observations, now))
    run = list(takewhile(lambda one: one.watches(lane, release, commit), latest_first))[::-1]
    return tuple(_window(earlier, later, lane) for earlier, later in pairwise(run))


def current(observations: Sequence[Observation], now: datetime) -> list[Observation]:
    """Return the observations that say something about now, in order: neither too old nor from the future."""
    return [one for one in observations if now - FORGET_AFTER <= one.at <= now]


def is_due(observations: Sequence[Observation], now: datetime, window: timedelta) -> bool:
    """Return whether a look now would end a window, rather than come in the middle of one."""
    kept = current(observations, now)
    return not kept or now - kept[-1].at >= window * _NEARLY


def latency(seconds: float, traffic: Traffic) -> str:
    """Write a latency as people do; one beyond what is measured as more than that."""
    if seconds == float("inf"):
        return f"over {traffic.within[-1][0] if traffic.within else 0:g} s"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _window(earlier: Observation, later: Observation, lane: LaneName) -> Window:
    before, after = earlier.lanes[lane].after, later.lanes[lane].before
    same = earlier.service == later.service and _continues(earlier.lanes, later.lanes)
    watched = later.lanes[lane]
    traffic = after.since(before) if same else after
    return Window(earlier.at, later.at, traffic, watched.verdict, watched.said or "")


def _continues(earlier: Mapping[LaneName, Watched], later: Mapping[LaneName, Watched]) -> bool:
    """Return whether all counts go on; when one has fallen the service was started anew, and none of them does."""
    pairs = [(earlier[lane], later[lane]) for lane in earlier if lane in later]
    return all(now.before.is_after(then.after) for then, now in pairs if now.release == then.release)


def _figures(last: Sequence[Window], guard: Guard, verdict: Verdict) -> str:
    faults = next((found for window in reversed(last) if (found := window.faults(guard))), ())
    if faults and verdict is not Verdict.PASS:
        return "; ".join(faults)
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    if not last:
        return "no window has ended yet"
    requests = last[-1].traffic.requests
    if requests < guard.requests:
        return f"{requests} requests in the last window, fewer than the {guard.requests} that tell something"
    if last[-1].verdict is not Verdict.PASS:
        return "the release could not be verified in the last window"
    return "too few windows yet"
