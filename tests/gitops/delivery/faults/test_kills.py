"""SIGKILL before and after the effects of a run: the next run ends where an undisturbed one does, and writes it once.

A run's effects are every file that it opens for writing, renames, syncs, makes or removes, every command of git that
writes, and every process that it starts or ends. With no failure in n kills, the chance of one is below 3/n (95 %).
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gitops.delivery.faults.conftest import Driver, Faulty

    Capture = pytest.CaptureFixture[str]

# What is changed, and whether the process is replaced, so that between two steps nobody need answer.
CHANGES = {
    "swap": False,  # one release replaces another on a warm service
    "drift": False,  # a pointer that somebody edited is put right; the ledger has nothing to say
    "not_loading": False,  # a release turns out not to load: the old one answers on, the red verdict is written once
    "new_code": True,  # the service's code changes together with the release
    "not_starting": True,  # new code turns out not to start: the code before serves again
    "from_nothing": True,  # nothing runs, nothing was fetched, no state is left
}
SOME = {"swap": 2, "drift": 2, "not_loading": 3, "new_code": 4, "not_starting": 4, "from_nothing": 7}
ENOUGH, PLENTY = 300, 3000


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_any_moment_the_next_run_converges(faulty: "Faulty", change: str) -> None:
    """One kill, one more run: what serves, the ledger, the aliases and the state folder are as if undisturbed."""
    faulty.kill_everywhere(getattr(faulty, change), stride=SOME[change], restarts=CHANGES[change])


@pytest.mark.parametrize("change", CHANGES)
def test_killed_again_and_again_it_still_converges(faulty: "Faulty", change: str) -> None:
    """Each attempt is killed one moment later than the one before, so that every leftover meets every step."""
    faulty.kill_again_and_again(getattr(faulty, change), restarts=CHANGES[change])


def test_enough_was_killed(
    driver: "Driver", request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least 300 kills without a failure bound the chance of one below 1 %."""
    _require(driver, request, capsys, ENOUGH)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_every_moment_many_times(faulty: "Faulty", change: str) -> None:
    """Every moment of every change, with a run afterwards that has nothing left to do; until 3,000 were killed."""
    for _ in range(6):
        faulty.kill_everywhere(getattr(faulty, change), restarts=CHANGES[change])
        faulty.kill_again_and_again(getattr(faulty, change), restarts=CHANGES[change])
        faulty.renew()


@pytest.mark.long
def test_plenty_was_killed(
    driver: "Driver", request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least 3,000 kills without a failure bound the chance of one below 0.1 %."""
    _require(driver, request, capsys, PLENTY)


def _require(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture", least: int) -> None:
    here = [item for item in request.session.items if item.path == request.node.path]
    if len({item.name for item in here if "[" in item.name}) % len(CHANGES):
        pytest.skip("only a part of this file runs")
    kills = driver.faults["SIGKILL"]
    with capsys.disabled():
        print(f"\n{kills} kills, no failure: at most {3 / kills:.2%} of them fail (95 %)")  # noqa: T201 (a figure)
    assert kills >= least
