"""Freezes against the wall clock: what the calendar says is what a scan of every minute finds, whatever clocks do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_gitops.promotion.freezes import frozen, thaw
from towpath_gitops.records.policy import Freeze

BERLIN = "Europe/Berlin"
# Clocks there jump on 29 March 2026 from 2:00 to 3:00 and on 25 October 2026 from 3:00 back to 2:00.
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
# Half an hour back and forth; a day left out; an hour, on the other half of the globe.
JUMPS = {
    BERLIN: (SPRING, AUTUMN),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC),),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "UTC": (SPRING,),
}
MINUTE = timedelta(minutes=1)


def _dates(since: datetime, until: datetime, timezone: str = BERLIN) -> Freeze:
    return Freeze(name="dates", timezone=timezone, since=since, until=until)


def _cron(cron: str, lasts: str, timezone: str = BERLIN) -> Freeze:
    return Freeze.model_validate({"name": "cron", "timezone": timezone, "cron": cron, "lasts": lasts})


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_between_two_dates_nothing_moves() -> None:
    """From the first minute to the last before the end, in the freeze's own zone."""
    freeze = _dates(datetime(2026, 12, 24), datetime(2027, 1, 4, 6))  # noqa: DTZ001 (local time of the freeze)
    assert frozen([freeze], _utc("2026-12-23T22:59")) is None
    found = frozen([freeze], _utc("2026-12-23T23:00"))
    assert found == (freeze, _utc("2027-01-04T05:00"))
    assert frozen([freeze], _utc("2027-01-04T05:00")) is None


def test_a_weekend_begins_every_friday() -> None:
    """Friday at five until Monday at eight, and again a week later."""
    weekend = _cron("0 17 * * 5", "63h")
    for friday in (_utc("2026-06-05T15:00"), _utc("2026-06-12T15:00")):
        assert frozen([weekend], friday - MINUTE) is None
        assert frozen([weekend], friday) == (weekend, friday + timedelta(hours=63))
        assert frozen([weekend], friday + timedelta(hours=63)) is None


def test_the_freeze_that_ends_last_is_told_and_a_chain_ends_with_its_last_link() -> None:
    """Two overlap, a third begins when they end: it thaws after the third."""
    short, long = _cron("0 8 1 6 *", "4h", "UTC"), _cron("0 9 1 6 *", "5h", "UTC")
    third = _cron("0 14 1 6 *", "1h", "UTC")
    now = _utc("2026-06-01T09:30")
    assert frozen([short, long, third], now) == (long, _utc("2026-06-01T14:00"))
    assert thaw([short, long, third], now) == _utc("2026-06-01T15:00")
    assert thaw([short], _utc("2026-06-02T00:00")) == _utc("2026-06-02T00:00")


def test_a_freeze_without_end_has_no_thaw() -> None:
    """Every minute for an hour: nobody is told to wait for it."""
    assert thaw([_cron("* * * * *", "1h")], SPRING) is None


def test_an_hour_that_clocks_skip_begins_when_they_jump() -> None:
    """Half past two does not come in Berlin that night: what would begin then begins at three, one o'clock UTC."""
    jump = _utc("2026-03-29T01:00")
    assert frozen([_cron("30 2 * * *", "10m")], jump) == (_cron("30 2 * * *", "10m"), jump + timedelta(minutes=10))
    assert frozen([_cron("30 2 * * *", "10m")], jump - MINUTE) is None


def test_an_hour_that_clocks_repeat_is_frozen_both_times() -> None:
    """Until half past two ends with the second of them; from half past two begins with the first."""
    night = datetime(2026, 10, 25)  # noqa: DTZ001 (local time of the freeze)
    until = _dates(night, night + timedelta(hours=2, minutes=30))
    assert frozen([until], _utc("2026-10-25T01:29")) == (until, _utc("2026-10-25T01:30"))
    before = _dates(night, night + timedelta(hours=2))
    assert frozen([before], _utc("2026-10-25T00:30")) is None, "the first hour from two to three is not before two"
    since = _dates(night + timedelta(hours=2, minutes=30), night + timedelta(hours=9))
    assert frozen([since], _utc("2026-10-25T00:29")) is None
    assert frozen([since], _utc("2026-10-25T01:15")) is not None


# --- against a naive scan -----------------------------------------------------------------------------------------


def _local(moment: datetime, timezone: str) -> datetime:
    return moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


def _scanned_dates(freeze: Freeze, minutes: list[datetime]) -> list[bool]:
    """Frozen from the first minute that shows `from` or later to the last that shows less than `until`."""
    shown = [_local(minute, freeze.timezone) for minute in minutes]
    begun = [index for index, time in enumerate(shown) if freeze.since and time >= freeze.since]
    open_ = [index for index, time in enumerate(shown) if freeze.until and time < freeze.until]
    return [bool(begun and open_) and begun[0] <= index <= open_[-1] for index in range(len(minutes))]


def _scanned_cron(freeze: Freeze, hours: set[int], minute_: int, minutes: list[datetime]) -> list[bool]:
    """Every minute whose clock, or a time that its clock has just jumped over, is meant begins a freeze."""
    assert freeze.lasts
    ends, found = datetime.min.replace(tzinfo=UTC), []
    for moment in minutes:
        time = _local(moment, freeze.timezone)
        before = _local(moment - MINUTE, freeze.timezone)
        skipped = (time - before) // MINUTE
        shown = [time - MINUTE * back for back in range(max(skipped, 1))]
        if any(each.hour in hours and each.minute == minute_ for each in shown):
            ends = moment + freeze.lasts
        found.append(moment < ends)
    return found


moments = st.sampled_from([(zone, jump) for zone, jumps in JUMPS.items() for jump in jumps])
offsets = st.integers(-6 * 60, 6 * 60).map(lambda minutes: timedelta(minutes=minutes))


@settings(max_examples=60)
@given(place=moments, ends=st.tuples(offsets, offsets).filter(lambda pair: pair[0] != pair[1]))
def test_dates_are_what_a_scan_of_every_minute_finds(
    place: tuple[str, datetime], ends: tuple[timedelta, timedelta]
) -> None:
    """Around every change of clocks, for any beginning and end."""
    zone, jump = place
    middle = _local(jump, zone)
    freeze = _dates(middle + min(ends), middle + max(ends), zone)
    minutes = [jump + MINUTE * number for number in range(-32 * 60, 32 * 60)]
    scanned = _scanned_dates(freeze, minutes)
    assert [frozen([freeze], minute) is not None for minute in minutes[::7]] == scanned[::7]


@settings(max_examples=20)
@given(
    place=moments,
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    minute=st.integers(0, 59),
    lasts=st.integers(1, 300),
)
def test_a_cron_is_what_a_scan_of_every_minute_finds(
    place: tuple[str, datetime], hours: set[int], minute: int, lasts: int
) -> None:
    """Around every change of clocks, for any hours, minute and length."""
    zone, jump = place
    cron = f"{minute} {','.join(map(str, sorted(hours)))} * * *"
    freeze = _cron(cron, f"{lasts}m", zone)
    minutes = [jump + MINUTE * number for number in range(-36 * 60, 8 * 60)]
    scanned = _scanned_cron(freeze, hours, minute, minutes)
    settled = slice(28 * 60, None, 13)  # the scan has seen a whole day by then, skipped ones included
    assert [frozen([freeze], moment) is not None for moment in minutes[settled]] == scanned[settled]


@given(moment=st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)))  # noqa: DTZ001 (bounds of Hypothesis are naive)
def test_what_has_thawed_is_not_frozen(moment: datetime) -> None:
    """The moment that a person is told to wait for is free, and none before it is."""
    freezes = [_cron("0 17 * * 5", "63h"), _cron("30 1 * * *", "2h", "America/New_York")]
    free = thaw(freezes, moment)
    assert free is not None
    assert frozen(freezes, free) is None
    assert free == moment or frozen(freezes, free - MINUTE) is not None


@pytest.mark.parametrize("cron", ["0 17 * * 5", "*/5 * * * *", "0 0 1 1 *"])
def test_seconds_within_a_minute_do_not_matter(cron: str) -> None:
    """Half a minute after the beginning it is frozen, too."""
    freeze = _cron(cron, "10m", "UTC")
    assert frozen([freeze], _utc("2027-01-01T00:00:31.5") if cron.startswith("0 0") else _utc("2026-06-05T17:00:31.5"))
