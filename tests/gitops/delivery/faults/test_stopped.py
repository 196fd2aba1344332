"""Several at once, and some of them asleep: whoever was stopped past their lease writes nothing more when they wake.

A run is stopped (SIGSTOP) at one of its moments, main moves on, and another run takes the lease over and brings what
main says now. Then the first goes on (SIGCONT). Stopped inside a write it holds the file lock instead: the other is
refused in words and the first ends its work. With no failure in n stops, the chance of one is below 3/n (95 %).
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops.delivery.ledger import Event
from towpath_gitops.forges.local import LocalForge

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World
    from tests.gitops.delivery.faults.conftest import Change, Driver, Faulty, Run

    Capture = pytest.CaptureFixture[str]

HOUR_S = 3600.0  # by which the second run's clock is late: the lease of the first has expired
SOON_S = 0.2  # for which the second waits for a file lock
CHANGES = {"swap": 5, "new_code": 9}  # what is changed, and at every which moment the run is stopped
SEVERAL = 4
ENOUGH, PLENTY = 25, 300

# What only the holder of the lease may do, by the words of its moments. The lease itself is written under its lock.
FENCED = (".lease.json", ".pointer.json", ".service.json", ".converged", "code/", "published", "git ", "kill", "spawn")


def _is_fenced(moment: str) -> bool:
    return ".incoming-" not in moment and any(word in moment for word in FENCED)


def _stop(faulty: "Faulty", change: "Change", at: int, numbers: tuple[int, int]) -> str:
    """Stop a run at its moment `at`, let another bring the next change, and let the first go on.

    Returns what became of the second: `taken` over, or `locked` out.
    """
    change(numbers[0])
    first = faulty.driver.run(faulty.world, fault="SIGSTOP", at=at)
    assert first.state == "stopped", first
    where = f"stopped at “{first.moments[-1]}”"
    end = change(numbers[1])
    second = faulty.driver.run(faulty.world, late_s=HOUR_S, lock_s=SOON_S)
    if second.error is None:
        faulty.require(end)
    woken = faulty.driver.resume(first.pid)
    assert woken.state == "ended", where
    held = any(name.startswith("fetch") for name in first.moments)  # the first step after the lease is taken
    if second.error is None:
        if held:
            _left_alone(woken, at, where)
        faulty.require(end)
    else:
        assert (second.error, "is locked" in second.what) == ("UnavailableError", True), f"{where}: {second}"
        # What it holds the lease for, it ends; without one it looks again whether main has moved.
        assert woken.error is None or (not held and "main has moved" in woken.what), f"{where}: {woken}"
    faulty.repair(end)
    return "taken" if second.error is None else "locked"


def _left_alone(woken: "Run", at: int, where: str) -> None:
    """Require that a run which was overtaken has written nothing since; at its end it had nothing left to write."""
    assert woken.error in {None, "ConflictError"}, f"{where}: {woken}"
    written = [name for name in woken.moments[at + 1 :] if _is_fenced(name)]
    assert not written, f"{where}: {written}"


def _stop_everywhere(faulty: "Faulty", change: "Change", stride: int) -> Counter[str]:
    undisturbed = faulty.undisturbed(change)
    became: Counter[str] = Counter()
    for number, at in enumerate(range(0, len(undisturbed.moments), stride)):
        became[_stop(faulty, change, at, (2 * number + 1, 2 * number + 2))] += 1
        assert faulty.marks() == undisturbed.marks, undisturbed.moments[at]
    assert faulty.world.ledger.verify() == []
    return became


@pytest.mark.parametrize("change", CHANGES)
def test_who_was_stopped_past_the_lease_writes_nothing_more(faulty: "Faulty", change: str) -> None:
    """Not the pointer, not the process, not the ledger, not the alias: all stay as whoever took over left them."""
    became = _stop_everywhere(faulty, getattr(faulty, change), CHANGES[change])
    assert became["taken"] >= 3
    assert became["locked"] >= 3


def test_what_main_said_before_the_lease_was_taken_is_not_brought_after_it(faulty: "Faulty") -> None:
    """Stopped with main read and no lease yet: when it gets one, main has moved on, and it stands back."""
    moments = faulty.undisturbed(faulty.swap).moments
    before = next(at for at, name in enumerate(moments) if "lease.lock" in name)
    assert _stop(faulty, faulty.swap, before, (1, 2)) == "taken"
    events = [entry.event for entry in faulty.world.ledger.entries("staging")]
    assert events == [Event.APPLIED, Event.VERIFIED] * 2 + [Event.SUPERSEDED, Event.APPLIED, Event.VERIFIED]
    assert faulty.world.ledger.verify() == []


def test_several_reconcilers_write_one_history(faulty: "Faulty") -> None:
    """At once, again and again: each either does the work or says who does it, and every event is told once."""
    for number in range(1, 7):
        end = faulty.swap(number - 1)
        pids = [faulty.driver.start(faulty.world) for _ in range(SEVERAL)]
        runs = [faulty.driver.wait(pid) for pid in pids]
        assert {run.error for run in runs} <= {None, "UnavailableError", "ConflictError"}, runs
        assert any(run.error is None for run in runs), runs
        faulty.require(end)
    events = [entry.event for entry in faulty.world.ledger.entries("staging")]
    assert events == [Event.APPLIED, Event.VERIFIED] * 7
    assert faulty.world.ledger.verify() == []


def test_whoever_waits_for_the_lock_goes_on_when_its_holder_does(faulty: "Faulty") -> None:
    """Stopped in the middle of a write: it ends that one, the other takes over after it, and the next is refused."""
    moments = faulty.undisturbed(faulty.swap).moments
    inside = next(at for at, name in enumerate(moments) if "point: rename" in name and ".pointer.json" in name)
    faulty.swap(1)
    first = faulty.driver.run(faulty.world, fault="SIGSTOP", at=inside)
    end = faulty.swap(2)
    second = faulty.driver.start(faulty.world, late_s=HOUR_S)
    woken = faulty.driver.resume(first.pid)
    done = faulty.driver.wait(second)
    assert (woken.error, done.error) in {("ConflictError", None), (None, None), (None, "UnavailableError")}
    faulty.repair(end)
    assert faulty.world.ledger.verify() == []


# --- promoters -----------------------------------------------------------------------------------------------------


def _proposal(world: "World", publish: "Publish") -> dict[str, Any]:
    world.declare(publish(0.0))
    return {"task": "propose", "release": publish(1.0).model_dump_json(by_alias=True)}


def test_several_promoters_open_one_pull_request(world: "World", driver: "Driver", publish: "Publish") -> None:
    """Eight processes propose the same at the same moment: all that succeed name the one that is open."""
    order = _proposal(world, publish)
    runs = [driver.wait(pid) for pid in [driver.start(world, **order) for _ in range(2 * SEVERAL)]]
    assert {run.error for run in runs} <= {None, "ConflictError", "UnavailableError"}, runs
    numbers = {run.done["number"] for run in runs if run.error is None}
    world.repository.fetch()
    assert [pull.number for pull in LocalForge(world.repository).list()] == sorted(numbers)
    assert len(numbers) == 1


def test_a_promoter_that_was_stopped_opens_no_second_pull_request(
    world: "World", driver: "Driver", publish: "Publish"
) -> None:
    """Stopped at any moment while another proposes the same: it adopts what that one opened, or is told of it."""
    order = _proposal(world, publish)
    at = 0
    while (first := driver.run(world, fault="SIGSTOP", at=at, **order)).state == "stopped":
        second = driver.run(world, **order)
        woken = driver.resume(first.pid)
        assert second.error is None, f"{first.moments[-1]}: {second}"
        assert woken.error in {None, "ConflictError"}, f"{first.moments[-1]}: {woken}"
        world.repository.fetch()
        forge = LocalForge(world.repository)
        assert [pull.number for pull in forge.list("open")] == [second.done["number"]]
        assert woken.done.get("number", second.done["number"]) == second.done["number"]
        forge.close(second.done["number"], "Once more")
        at += 2
    assert at > 8


# --- figures -------------------------------------------------------------------------------------------------------


def test_enough_was_stopped(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture") -> None:
    """The bound that as many stops without a failure allow."""
    _require(driver, request, capsys, ENOUGH)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("change", CHANGES)
def test_stopped_at_every_moment(faulty: "Faulty", change: str) -> None:
    """Every moment of both changes, twice."""
    for _ in range(2):
        _stop_everywhere(faulty, getattr(faulty, change), 1)
        faulty.renew()


@pytest.mark.long
def test_plenty_was_stopped(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture") -> None:
    """The bound that as many stops without a failure allow."""
    _require(driver, request, capsys, PLENTY)


def _require(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture", least: int) -> None:
    here = [item for item in request.session.items if item.path == request.node.path]
    if len({item.name for item in here if "[" in item.name}) % len(CHANGES):
        pytest.skip("only a part of this file runs")
    stops = driver.faults["SIGSTOP"]
    with capsys.disabled():
        print(f"\n{stops} stops, no failure: at most {3 / stops:.2%} of them fail (95 %)")  # noqa: T201 (a figure)
    assert stops >= least
