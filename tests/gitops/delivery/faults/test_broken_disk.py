"""A disk that is full, broken or not to be written, at each effect of a run: it ends in words, nothing is half done.

The errno happens to one effect, or to it and all after it, as on a disk that stays full. Afterwards the run has failed
with the one retryable failure or has succeeded, whoever served serves, and the next run ends where an undisturbed one
does. With no failure in n faults, the chance of one is below 3/n (95 %).
"""

import errno
import os
from collections.abc import Callable, Iterable
from itertools import cycle, product
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gitops.delivery.faults.conftest import Change, Driver, Faulty, Run

    Capture = pytest.CaptureFixture[str]
    Fault = tuple[int, int, bool]  # the moment, the errno, and whether it lasts
    Choose = Callable[[list[int]], Iterable[Fault]]

# What is changed, and whether the process is replaced, so that between two steps nobody need answer.
CHANGES = {"swap": False, "drift": False, "not_loading": False, "new_code": True, "from_nothing": True}
SOME = {"swap": 6, "drift": 6, "not_loading": 8, "new_code": 9, "from_nothing": 8}
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES, errno.EDQUOT)
ENOUGH, PLENTY = 40, 2000


def _fails_in_words(run: "Run", error: int, where: str, *, refused: bool) -> None:
    """Require that a run ended well, or with the retryable failure that says what the disk said.

    `refused`: the release is at fault as well, which goes before.
    """
    assert run.state == "ended", where
    if refused and run.error == "DeliveryError":
        return
    assert run.error in {None, "UnavailableError"}, f"{where}: {run.error}: {run.what}"
    # MLflow keeps for itself why a download failed.
    assert run.error is None or os.strerror(error) in run.what or "room on the disk" in run.what, where


def _break(faulty: "Faulty", change: "Change", choose: "Choose", *, restarts: bool) -> None:
    """Make a change for each fault that is chosen of its effects, and require its end after one more run."""
    undisturbed = faulty.undisturbed(change)
    # At a step's beginning nothing is written; a process that is ended needs no disk.
    effects = [at for at, name in enumerate(undisturbed.moments) if not name.endswith((" begins", " kill"))]
    for number, (at, error, lasting) in enumerate(choose(effects), start=1):
        end = change(number)
        run = faulty.driver.run(faulty.world, fault=error, at=at, lasting=lasting)
        where = f"{errno.errorcode[error]}{' and on' * lasting} at “{undisturbed.moments[at]}”"
        _fails_in_words(run, error, where, refused=end.refused)
        if not restarts:
            assert faulty.served() is not None, where
        faulty.repair(end)
        assert faulty.marks() == undisturbed.marks, where
    assert faulty.world.ledger.verify() == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_disk_that_fails_at_any_moment_leaves_nothing_half_done(faulty: "Faulty", change: str) -> None:
    """Once, or from then on: the run says so, somebody serves, and the next run converges."""

    def some(effects: list[int]) -> "Iterable[Fault]":
        return zip(effects[:: SOME[change]], cycle(ERRNOS), cycle((False, True, True, False, True)), strict=False)

    _break(faulty, getattr(faulty, change), some, restarts=CHANGES[change])


def test_enough_was_broken(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture") -> None:
    """The bound that as many faults without a failure allow."""
    _require(driver, request, capsys, ENOUGH)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("change", CHANGES)
def test_every_failure_of_the_disk_at_every_moment(faulty: "Faulty", change: str) -> None:
    """Every errno at every effect of every change, once and lasting."""
    _break(
        faulty,
        getattr(faulty, change),
        lambda effects: product(effects, ERRNOS, (False, True)),
        restarts=CHANGES[change],
    )


@pytest.mark.long
def test_plenty_was_broken(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture") -> None:
    """The bound that as many faults without a failure allow."""
    _require(driver, request, capsys, PLENTY)


def _require(driver: "Driver", request: pytest.FixtureRequest, capsys: "Capture", least: int) -> None:
    here = [item for item in request.session.items if item.path == request.node.path]
    if len({item.name for item in here if "[" in item.name}) % len(CHANGES):
        pytest.skip("only a part of this file runs")
    kinds = {errno.errorcode[error]: driver.faults[str(error)] for error in ERRNOS}
    faults = sum(kinds.values())
    told = ", ".join(f"{number} {name}" for name, number in kinds.items())
    with capsys.disabled():
        print(f"\n{faults} faults of the disk ({told}), no failure: at most {3 / faults:.2%} of them fail (95 %)")  # noqa: T201 (a figure)
    assert faults >= least
