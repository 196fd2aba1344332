"""From looks to windows to a verdict: never more certain than what was seen, whatever service and clock do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.delivery.traffic import Traffic
from towpath_gitops.delivery.windows import Observation, Outcome, Watched, Window, is_due, judge, windows
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.pointer import LaneName
from towpath_gitops.records.policy import Guard

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RELEASE, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
GUARD = Guard(bad=3, of=5, requests=20, errors=0.01, p99="100ms")
MINUTE = timedelta(minutes=1)

SILENT = Traffic()
FINE = Traffic(requests=100, timed=100, within=((0.01, 100),))
FAULTY = Traffic(requests=100, errors=50, timed=50, within=((0.01, 50),))
SLOW = Traffic(requests=100, timed=100, within=((0.01, 90), (0.2, 95), (1.0, 100)))

outcomes = st.lists(st.sampled_from(Outcome), max_size=12)
guards = st.integers(1, 6).flatmap(
    lambda of: st.builds(Guard, of=st.just(of), bad=st.integers(1, of), requests=st.just(20), errors=st.just(0.01))
)


def window(traffic: Traffic = FINE, verdict: Verdict | None = Verdict.PASS) -> Window:
    """Return what was seen in a minute."""
    return Window(NOW - MINUTE, NOW, traffic, verdict)


SEEN = {Outcome.GOOD: window(), Outcome.BAD: window(FAULTY), Outcome.UNKNOWN: window(SILENT)}


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (window(), Outcome.GOOD),
        (window(FAULTY), Outcome.BAD),
        (window(SLOW), Outcome.BAD),
        (window(SILENT), Outcome.UNKNOWN),
        (window(FINE.model_copy(update={"requests": 19})), Outcome.UNKNOWN),
        (window(FAULTY.model_copy(update={"requests": 19, "errors": 19, "timed": 0})), Outcome.UNKNOWN),
        (window(FINE, None), Outcome.UNKNOWN),
        (window(FINE, Verdict.INCONCLUSIVE), Outcome.UNKNOWN),
        (window(SILENT, Verdict.FAIL), Outcome.BAD),
        (window(FINE, Verdict.ERROR), Outcome.BAD),
    ],
)
def test_what_a_window_says(seen: Window, outcome: Outcome) -> None:
    """Bad is a red verification or a broken limit with enough requests; good needs both to be fine; else unknown."""
    assert seen.outcome(GUARD) is outcome


def test_faults_are_told_in_figures() -> None:
    """Whoever is woken reads what was measured and what was allowed."""
    assert window(FAULTY).faults(GUARD) == ("errors 50.0% of 100 requests (limit 1.0%)",)
    assert window(SLOW).faults(GUARD) == ("p99 840 ms (limit 100ms)",)
    lost = Traffic(requests=100, timed=100, within=((5.0, 90),))
    assert window(lost).faults(GUARD) == ("p99 over 5 s (limit 100ms)",)


def test_limits_that_nobody_set_are_not_broken() -> None:
    """Without limits only verifications speak."""
    assert window(FAULTY).outcome(Guard(errors=None)) is Outcome.GOOD
    assert window(SLOW).outcome(Guard(errors=None)) is Outcome.GOOD


@given(outcomes, guards)
def test_a_verdict_holds_whatever_was_not_seen(seen: list[Outcome], guard: Guard) -> None:
    """Fail and pass stand however the unknown windows are filled in; inconclusive means that both are possible."""

    def filled(outcome: Outcome) -> Verdict:
        whole = [Outcome.UNKNOWN] * guard.of + seen
        return judge([SEEN[outcome if one is Outcome.UNKNOWN else one] for one in whole], guard).verdict

    possible = {filled(Outcome.GOOD), filled(Outcome.BAD)}
    verdict = judge([SEEN[one] for one in seen], guard).verdict
    assert possible == {verdict} if verdict is not Verdict.INCONCLUSIVE else {Verdict.PASS, Verdict.FAIL} == possible


@given(st.integers(0, 12), guards)
def test_no_traffic_is_never_healthy_and_never_harm(count: int, guard: Guard) -> None:
    """However long nobody asks, however green the verifications."""
    assert judge([window(SILENT)] * count, guard).verdict is Verdict.INCONCLUSIVE


def test_only_the_last_windows_count() -> None:
    """A release that was mended is not judged by what was before."""
    assert judge([window(FAULTY)] * 9 + [window()] * 5, GUARD).verdict is Verdict.PASS
    assert judge([window()] * 9 + [window(FAULTY)] * 2, GUARD).verdict is Verdict.PASS
    assert judge([window()] * 9 + [window(FAULTY)] * 3, GUARD).verdict is Verdict.FAIL


# --- from looks to windows ----------------------------------------------------------------------------------------


def look(at: datetime, traffic: Traffic, *, release: str = RELEASE, asked: int = 0, **fields: object) -> Observation:
    """Return a look that finds `traffic` and asks `asked` questions of its own."""
    after = traffic.model_copy(update={"requests": traffic.requests + asked})
    watched = Watched(release=release, before=traffic, after=after, verdict=Verdict.PASS)
    return Observation.model_validate(
        {"at": at, "commit": "c" * 40, "service": "one", "lanes": {"champion": watched}} | fields
    )


def seen_in(looks: Sequence[Observation], lane: LaneName, now: datetime, commit: str = "c" * 40) -> tuple[Window, ...]:
    """Return the windows of the release that most tests are about."""
    return windows(looks, lane, RELEASE, commit, now)


def counted(requests: int, errors: int = 0) -> Traffic:
    """Return counts since the service began."""
    return Traffic(requests=requests, errors=errors)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=1, max_size=20))
def test_no_request_is_counted_twice_or_made_up(steps: list[tuple[int, int, bool]]) -> None:
    """Over any row of looks and restarts, windows hold what was answered since the look or the restart before."""
    looks, expected, total, start = [look(NOW, counted(0))], [], (0, 0), 0
    for number, (right, wrong, restarted) in enumerate(steps, start=1):
        if restarted:
            total, start = (0, 0), start + 1
        total = (total[0] + right + wrong, total[1] + wrong)
        looks.append(look(NOW + number * MINUTE, counted(*total), service=f"service {start}"))
        expected.append((right + wrong, wrong))
    found = seen_in(looks, "champion", NOW + timedelta(hours=1))
    assert [(each.traffic.requests, each.traffic.errors) for each in found] == expected


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=8))
def test_a_restart_that_nobody_noticed_makes_no_count_negative(counts: list[tuple[int, int]]) -> None:
    """When one count has fallen, none goes on: shares are taken of what belongs together."""
    traffics = [counted(right + wrong, wrong) for right, wrong in counts]
    looks = [look(NOW + number * MINUTE, traffic) for number, traffic in enumerate(traffics)]
    found = seen_in(looks, "champion", NOW + timedelta(hours=1))
    for each, (earlier, later) in zip(found, pairwise(traffics), strict=True):
        goes_on = later.requests >= earlier.requests and later.errors >= earlier.errors
        assert each.traffic == (later.since(earlier) if goes_on else later)
        assert min(each.traffic.errors, each.traffic.requests) >= 0


def test_a_guards_own_questions_are_nobodys_traffic() -> None:
    """The golden requests of a look, which an older service may count, fall between two windows."""
    looks = [look(NOW + number * MINUTE, counted(50 * number), asked=50) for number in range(5)]
    assert [each.traffic.requests for each in seen_in(looks, "champion", NOW + 5 * MINUTE)] == [0] * 4


@given(st.lists(st.integers(-3_000, 3_000), min_size=1, max_size=12), outcomes)
def test_a_clock_that_jumps_neither_harms_nor_heals(jumps_min: list[int], seen: list[Outcome]) -> None:
    """Whatever the clock says, a verdict needs its windows: as many bad ones, or as many good ones, as ever."""
    times = [NOW + minutes * MINUTE for minutes in accumulate(jumps_min)]
    traffic, looks = Traffic(), []
    for at, outcome in zip(times, [*seen, *([Outcome.UNKNOWN] * len(times))], strict=False):
        grown = SEEN[outcome].traffic
        traffic = Traffic(requests=traffic.requests + grown.requests, errors=traffic.errors + grown.errors)
        looks.append(look(at, traffic))
    found = seen_in(looks, "champion", times[-1])
    judgement = judge(found, GUARD)
    assert len(found) < len(looks) or not looks
    if Outcome.BAD not in seen:
        assert judgement.verdict is not Verdict.FAIL
    if Outcome.GOOD not in seen:
        assert judgement.verdict is not Verdict.PASS


def test_a_release_is_judged_by_its_own_windows() -> None:
    """Looks at another release, or at another declaration of the same, are left out: a new one begins anew."""
    before = [look(NOW + number * MINUTE, counted(9 * number), release=OTHER) for number in range(3)]
    after = [look(NOW + number * MINUTE, counted(number)) for number in range(3, 6)]
    assert [each.traffic.requests for each in seen_in([*before, *after], "champion", NOW + 9 * MINUTE)] == [1, 1]
    again = look(NOW + 6 * MINUTE, counted(7), commit="d" * 40)
    assert seen_in([*before, *after, again], "champion", NOW + 9 * MINUTE, "d" * 40) == ()
    assert seen_in([*before, *after, again], "champion", NOW + 9 * MINUTE) == ()
    assert seen_in(after, "challenger", NOW + 9 * MINUTE) == ()
    assert seen_in([], "champion", NOW) == ()


@pytest.mark.parametrize(
    ("ages_s", "due"), [([], True), ([60], True), ([55], True), ([30], False), ([-30], True), ([90_000], True)]
)
def test_when_a_look_ends_a_window(ages_s: Sequence[int], due: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    """After a window, give or take a timer's jitter; at once where there is nothing that counts."""
    looks = [look(NOW - timedelta(seconds=age), counted(1)) for age in ages_s]
    assert is_due(looks, NOW, MINUTE) is due
