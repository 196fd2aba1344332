"""When nothing moves forward: is a moment frozen, and when does it thaw?

A freeze is written in local time. A clock that is put forward skips an hour: what begins or ends in it does so when
the clock jumps. A clock that is put back shows an hour twice: both belong to the freeze. How long a repeated freeze
lasts is counted in real time, whatever clocks do meanwhile.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from towpath_gitops.records.policy import Freeze

# Local times around a change of clocks are not in order; no zone ever moved its clocks by more than a day.
_DISORDER: Final = timedelta(days=1, hours=1)
_MINUTE: Final = timedelta(minutes=1)
_CHAIN: Final = 20  # freezes that begin before the one before has ended, after which nobody waits for a thaw


class Frozen(NamedTuple):
    """A freeze that holds at a moment, and the moment (UTC) from which that one does not."""

    freeze: Freeze
    until: datetime


def frozen(freezes: Iterable[Freeze], now: datetime) -> Frozen | None:
    """Return the freeze that holds at the aware moment `now`, of several the one that ends last; None when none."""
    ends = (Frozen(freeze, end) for freeze in freezes if (end := _end(freeze, now)) is not None)
    return max(ends, key=lambda each: each.until, default=None)


def thaw(freezes: Iterable[Freeze], now: datetime) -> datetime | None:
    """Return the first moment (UTC) from `now` on at which no freeze holds; None when that is not in sight."""
    freezes, moment = tuple(freezes), now.astimezone(UTC)
    for _ in range(_CHAIN):
        found = frozen(freezes, moment)
        if found is None:
            return moment
        moment = found.until
    return None


def _end(freeze: Freeze, now: datetime) -> datetime | None:
    """Return when the freeze ends that holds at `now`; None when it does not hold."""
    zone, moment = ZoneInfo(freeze.timezone), now.astimezone(UTC)
    if freeze.since is not None and freeze.until is not None:
        since, until = _instants(freeze.since, zone)[0], _last_before(freeze.until, zone)
        return until if since <= moment < until else None
    if freeze.cron is None or freeze.lasts is None:  # pragma: no cover (the record has either both dates or both these)
        raise AssertionError
    begun = _last_begun(freeze.cron, zone, moment, freeze.lasts)
    end = begun + freeze.lasts if begun else None
    return end if end is not None and moment < end else None


def _last_before(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when clocks in `zone` showed less than `local` for the last time."""
    shown = ((instant, (instant - timedelta.resolution).astimezone(zone)) for instant in _instants(local, zone))
    return max(instant for instant, before in shown if before.replace(tzinfo=None) < local)


def _last_begun(cron: str, zone: ZoneInfo, moment: datetime, lasts: timedelta) -> datetime | None:
    """Return the latest instant, not after `moment`, at which a clock in `zone` showed a time that `cron` means."""
    local = moment.astimezone(zone).replace(tzinfo=None)
    latest: datetime | None = None
    for time in _before(cron, local + _DISORDER):
        if time < local - _DISORDER and (latest or time < local - lasts - _DISORDER):
            break
        instants = [instant for instant in _instants(time, zone) if instant <= moment]
        latest = max(filter(None, (latest, *instants)), default=None)
    return latest


def _before(cron: str, local: datetime) -> Iterator[datetime]:
    """Yield the local times that `cron` means, from `local` backwards; none for one that never comes."""
    yield from CronSim(cron, local.replace(second=0, microsecond=0) + _MINUTE, reverse=True)


def _instants(local: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return when (UTC) clocks in `zone` show a local time: once, twice, or when they jump over it."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # it is skipped: reading it by the clock before the jump gives the later instant
        return (_jump(second, first, local, zone),)
    return (first,) if first == second else (first, second)


def _jump(early: datetime, late: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first minute after `early`, up to `late`, at which a clock shows `local` or later."""
    while late - early > _MINUTE:
        middle = early + (late - early) // (2 * _MINUTE) * _MINUTE
        passed = middle.astimezone(zone).replace(tzinfo=None) >= local
        early, late = (early, middle) if passed else (middle, late)
    return late
