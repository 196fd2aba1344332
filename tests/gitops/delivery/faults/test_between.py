"""What lies between two effects: pushed but not shown, accepted but not answered, and a clock that is set back."""

import errno
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops.delivery.ledger import Event
from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.conftest import Clone
    from tests.gitops.delivery.faults.conftest import Change, Driver, Faulty

DAY = timedelta(days=1)


def _moment(faulty: "Faulty", change: "Change", words: str) -> int:
    """Make a change, and return the number of the first moment of its run whose name contains some words."""
    return next(number for number, name in enumerate(faulty.undisturbed(change).moments) if words in name)


def _die(faulty: "Faulty", at: int) -> None:
    assert faulty.driver.run(faulty.world, fault="SIGKILL", at=at).state == "killed"


def test_a_crash_between_ledger_and_alias_is_made_good(faulty: "Faulty") -> None:
    """Also where the aliases once showed what serves again now, which this clone remembers."""
    shown = _moment(faulty, faulty.swap, "publish: open .towpath/published")
    begins = _moment(faulty, faulty.swap_back, "publish: begins")
    faulty.swap(0)
    _die(faulty, shown)  # shown, and not yet remembered
    end = faulty.swap(1)
    _die(faulty, begins)
    faulty.reconcile()
    faulty.require(end)


def test_a_push_that_was_accepted_but_not_answered_is_written_once(faulty: "Faulty", remote: Path) -> None:
    """The connection dies after the remote has taken the ledger's entry: the next run does not write it again."""
    end = faulty.swap(0)
    hook = remote / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    with pytest.raises(UnavailableError, match="remote cannot be reached"):
        faulty.world.reconcile()
    hook.unlink()
    faulty.reconcile()
    faulty.require(end)
    assert faulty.world.ledger.verify() == []


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_push_that_dies_before_it_is_accepted_is_repeated(faulty: "Faulty", remote: Path, hook: str) -> None:
    """Nothing is written, the release serves already, and the next run testifies."""
    path = remote / "hooks" / hook
    end = faulty.swap(0)
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nkill -9 $PPID\n")
    path.chmod(0o755)
    with pytest.raises(UnavailableError):
        faulty.world.reconcile()
    assert faulty.served() == end.release.id
    path.unlink()
    faulty.reconcile()
    faulty.require(end)


def test_two_clones_on_one_machine_do_not_take_each_others_service(
    faulty: "Faulty", clone: "Clone", driver: "Driver"
) -> None:
    """The second is told whose the port is; it serves nothing and writes nothing."""
    second = replace(faulty.world, repository=clone("grace"), made=[])
    end = faulty.swap(0)
    faulty.reconcile()
    run = driver.run(second)
    assert (run.state, run.error) == ("ended", "UnavailableError")
    assert "another clone" in run.what
    faulty.require(end)
    assert faulty.world.ledger.verify() == []


def test_a_full_disk_while_code_is_exported_leaves_no_half_of_it(faulty: "Faulty") -> None:
    """The old code serves on, what happened is said in words, and the next run exports all of it."""
    at = _moment(faulty, faulty.new_code, "bento/service.py")
    before = faulty.served()
    end = faulty.new_code(1)
    run = faulty.driver.run(faulty.world, fault=errno.ENOSPC, at=at)
    assert (run.error, os.strerror(errno.ENOSPC) in run.what) == ("UnavailableError", True)
    assert faulty.served() == before
    faulty.reconcile()
    faulty.require(end)
    assert faulty.marks()


def test_a_full_disk_while_a_release_is_installed_is_no_tampering(faulty: "Faulty") -> None:
    """No verdict is written of a release whose bytes are right; the next run installs it."""
    moments = faulty.undisturbed(faulty.from_nothing).moments
    at = next(at for at, name in enumerate(moments) if "rename .towpath/store/.incoming-" in name)
    end = faulty.from_nothing(1)
    run = faulty.driver.run(faulty.world, fault=errno.ENOSPC, at=at)
    assert (run.error, os.strerror(errno.ENOSPC) in run.what) == ("UnavailableError", True)
    faulty.reconcile()
    faulty.require(end)


def test_a_failure_is_heard_also_where_it_cannot_be_written_down(faulty: "Faulty") -> None:
    """The release does not load and then the disk fails: whoever asked hears of the release; the ledger, next time."""
    at = _moment(faulty, faulty.not_loading, "git hash-object")
    end = faulty.not_loading(1)
    run = faulty.driver.run(faulty.world, fault=errno.EIO, at=at, lasting=True)
    assert (run.error, "cannot be loaded" in run.what) == ("DeliveryError", True)
    faulty.repair(end)


def test_a_clock_that_is_set_back_a_day_stops_nothing(faulty: "Faulty") -> None:
    """A lease that seems to last for a day more is still free when its holder is gone; nothing is written twice."""
    end = faulty.swap(0)
    assert faulty.driver.run(faulty.world, late_s=DAY.total_seconds(), fault="SIGKILL", at=20).state == "killed"
    faulty.reconcile()
    faulty.require(end)
    back = datetime.now(UTC) - DAY
    again = faulty.world.reconcile(clock=lambda: back)
    assert (again.changed, again.entries) == (False, ())
    after = faulty.swap(1)
    faulty.world.reconcile(clock=lambda: back)
    faulty.require(after)
    assert faulty.world.ledger.verify() == []


def test_a_release_is_not_healthy_for_longer_because_a_clock_was_set_back(faulty: "Faulty") -> None:
    """Soaking counts from when the release before was applied, at the earliest."""
    faulty.swap(0)
    faulty.reconcile()
    seen = faulty.world.ledger.entries("staging")[-2].time
    end = faulty.swap(1)
    faulty.world.reconcile(clock=lambda: seen - 2 * DAY)
    since = faulty.world.ledger.healthy_since("staging", faulty.world.model, end.release.id)
    assert since
    assert since >= seen


def test_a_lease_of_a_living_process_that_ends_in_a_day_was_taken_by_another_clock(faulty: "Faulty") -> None:
    """No lease is granted for longer than its duration: one that says so is not waited for."""
    lease = faulty.world.target().lease
    ahead = faulty.world.target().lease
    ahead.clock = lambda: time.time() + DAY.total_seconds()
    ahead.acquire()
    lease.acquire()
    assert lease.token == ahead.token + 1


def test_the_ledger_tells_every_change_also_when_the_clock_went_back(faulty: "Faulty") -> None:
    """Each event once and in the order of main, whatever the times say."""
    faulty.swap(0)
    faulty.reconcile()
    faulty.swap(1)
    faulty.world.reconcile(clock=lambda: datetime.now(UTC) - DAY)
    entries = faulty.world.ledger.entries("staging")
    assert [entry.event for entry in entries] == [Event.APPLIED, Event.VERIFIED] * 3
    assert {entry.verdict for entry in entries if entry.event is Event.VERIFIED} == {Verdict.PASS}
