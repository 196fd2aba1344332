"""Reconciling for real: git remote, registry, service process."""

import json
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.delivery.ledger import REF, Event
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import (
    ConflictError,
    DeliveryError,
    DigestMismatchError,
    InvalidFileError,
    LedgerError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.records.evidence import Kind, Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World


def _served(world: "World", environment: str = "staging") -> str | None:
    version = world.target(environment).observe().version
    return version.release if version else None


def test_a_first_release_is_fetched_served_verified_and_written_down(world: "World", publish: "Publish") -> None:
    """From nothing to a verified service in one run."""
    release = publish(0.5)
    commit = world.declare(release)
    outcome = world.reconcile()
    assert outcome.verdict is Verdict.PASS
    assert [entry.event for entry in outcome.entries] == [Event.APPLIED, Event.VERIFIED]
    applied = outcome.entries[0]
    assert (applied.commit, applied.release, applied.pull) == (commit, release.id, 7)
    assert applied.approved_by == ("grace@example.org",)
    assert world.registry.aliases(world.model) == {"staging": release.version}
    assert world.registry.evidence(release)[Kind.VERIFICATION].environment == "staging"
    assert world.ledger.verify() == []


def test_nothing_to_do_is_a_success_without_a_new_line(world: "World", publish: "Publish") -> None:
    """A second run changes neither target nor ledger, and verifies all the same."""
    world.declare(publish())
    world.reconcile()
    tip = world.repository.tip(REF)
    again = world.reconcile()
    assert (again.changed, again.entries, again.verdict) == (False, (), Verdict.PASS)
    assert world.repository.tip(REF) == tip


def test_a_verification_is_written_down_again_after_a_day(world: "World", publish: "Publish") -> None:
    """The ledger shows that a release was still healthy later."""
    world.declare(publish())
    world.reconcile()
    later = datetime.now(UTC) + timedelta(days=2)
    assert [entry.event for entry in world.reconcile(clock=lambda: later).entries] == [Event.VERIFIED]


def test_a_swap_keeps_the_process_and_a_rollback_answers_the_same_bytes(world: "World", publish: "Publish") -> None:
    """Forward and back on one warm service, in under two seconds each."""
    old, new = publish(0.0), publish(1.0)
    world.declare(old)
    first = world.reconcile()
    pid = world.target().observe().details["pid"]
    world.declare(new)
    forward = world.reconcile()
    world.declare(old, change={"type": "rollback", "from": new.id, "reason": "worse"})
    back = world.reconcile()
    assert _served(world) == old.id
    assert world.target().observe().details["pid"] == pid
    assert back.entries[-1].answers == first.entries[-1].answers != forward.entries[-1].answers
    assert back.evidence
    assert "same answers" in [finding.gate for finding in back.evidence.findings]
    assert max(forward.verified_after_s, back.verified_after_s) < 5.0  # under 1 s on an idle machine
    assert world.ledger.verify() == []


def test_the_last_environment_names_the_champion(world: "World", publish: "Publish") -> None:
    """The alias `champion` follows production, not staging."""
    release = publish()
    world.declare(release, "production")
    world.reconcile("production")
    assert world.registry.aliases(world.model) == {"production": release.version, "champion": release.version}


def test_a_release_that_cannot_be_loaded_never_gets_traffic(world: "World", publish: "Publish") -> None:
    """The old lane answers on, the pointer goes back, the ledger shows the error, and the next release is served."""
    good, broken, better = publish(0.0), publish(broken=True), publish(2.0)
    world.declare(good)
    world.reconcile()
    world.declare(broken)
    with pytest.raises(DeliveryError, match=r"cannot be loaded[\s\S]*still serves[\s\S]*towpath rollback"):
        world.reconcile()
    assert _served(world) == good.id
    red = world.ledger.last_verified("staging", world.model, broken.id)
    assert red
    assert red.verdict is Verdict.ERROR
    live = world.ledger.live("staging", world.model)
    assert live
    assert live.release == good.id
    world.declare(better)
    assert Event.SUPERSEDED in [entry.event for entry in world.reconcile().entries]
    assert world.ledger.verify() == []


def test_a_first_release_that_cannot_be_loaded_does_not_spoil_the_second(world: "World", publish: "Publish") -> None:
    """The error of the pointer before is not taken for one of the pointer now."""
    world.declare(publish(broken=True))
    with pytest.raises(DeliveryError, match="Nothing served here before"):
        world.reconcile()
    world.declare(publish())
    assert world.reconcile().verdict is Verdict.PASS


def test_wrong_answers_are_a_red_verification(world: "World", publish: "Publish") -> None:
    """A release whose service does not repeat its golden answers is recorded as failed, and the way back is named."""
    wrong = publish(1.0, golden_bias=1.1)
    world.declare(wrong)
    with pytest.raises(DeliveryError, match=r"differ from training[\s\S]*towpath rollback --environment staging"):
        world.reconcile()
    red = world.ledger.last_verified("staging", world.model, wrong.id)
    assert red
    assert red.verdict is Verdict.FAIL
    assert world.ledger.verified("staging", world.model) == []
    assert world.ledger.healthy_since("staging", world.model, wrong.id) is None


def test_an_artifact_changed_in_the_registry_is_not_opened(world: "World", publish: "Publish") -> None:
    """One byte changed in the model store: refused, and the release before keeps serving."""
    good, bad = publish(0.0), publish(1.0)
    world.declare(good)
    world.reconcile()
    artifacts = Path(world.registry.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    changed = [path for path in artifacts.rglob("model.json") if json.loads(path.read_text()).get("bias") == 1.0]
    for path in changed:
        path.write_text(path.read_text() + " ")
    world.declare(bad)
    with pytest.raises(DigestMismatchError):
        world.reconcile()
    assert _served(world) == good.id
    for path in changed:
        path.write_text(path.read_text().rstrip())


def test_a_registry_that_is_away_stops_neither_a_rollback_nor_the_service(world: "World", publish: "Publish") -> None:
    """What lies in the store is served without asking MLflow; the aliases follow later."""
    old, new = publish(0.0), publish(1.0)
    for release in (old, new):
        world.declare(release)
        world.reconcile()
    world.declare(old)
    world.registry = Registry("http://127.0.0.1:9")
    outcome = world.reconcile()
    assert outcome.verdict is Verdict.PASS
    assert "registry does not show it yet" in outcome.notes[0]


def test_what_the_registry_missed_while_it_was_away_is_shown_later(world: "World", publish: "Publish") -> None:
    """A verification of another day reaches it with the next run, though that one has nothing new to write down."""
    release, later = publish(), datetime.now(UTC) + timedelta(days=2)
    world.declare(release)
    world.reconcile()
    here, world.registry = world.registry, Registry("http://127.0.0.1:9")
    assert world.reconcile(clock=lambda: later).notes
    world.registry = here
    assert world.reconcile(clock=lambda: later).entries == ()
    assert here.evidence(release)[Kind.VERIFICATION].created == later


def test_two_merges_before_one_run_leave_no_gap_in_the_ledger(world: "World", publish: "Publish") -> None:
    """What was declared and replaced before anybody applied it is written down as superseded."""
    for release in (publish(0.0), publish(1.0)):
        world.declare(release)
    events = [entry.event for entry in world.reconcile().entries]
    assert events == [Event.SUPERSEDED, Event.APPLIED, Event.VERIFIED]
    assert world.ledger.verify() == []


@pytest.mark.parametrize(
    ("edit", "error"),
    [(None, NotFoundError), (b"", InvalidFileError), (b"apiVersion: towpath/v1\nkind: Depl", InvalidFileError)],
)
def test_a_missing_or_broken_file_removes_nothing(
    world: "World", publish: "Publish", edit: bytes | None, error: type[Exception]
) -> None:
    """An environment file that is gone, empty or half written is refused, and the service runs on."""
    release = publish()
    world.declare(release)
    world.reconcile()
    world.push({layout.environment_path("staging", world.model): edit})
    with pytest.raises(error):
        world.reconcile()
    assert _served(world) == release.id


def test_a_file_that_declares_nothing_removes_nothing(world: "World", publish: "Publish") -> None:
    """`release: null` leaves what runs alone, and says so."""
    release = publish()
    world.declare(release)
    world.reconcile()
    world.declare(None)
    assert "left alone" in world.reconcile().notes[0]
    assert _served(world) == release.id


def test_a_file_in_the_wrong_place_is_refused(world: "World", publish: "Publish") -> None:
    """Staging's file copied over production's does not deploy staging's release to production."""
    world.declare(publish())
    text = world.repository.read_bytes(world.repository.main(), layout.environment_path("staging", world.model))
    world.push({layout.environment_path("production", world.model): text})
    with pytest.raises(InvalidFileError, match="speaks of"):
        world.reconcile("production")


def test_a_rewritten_main_is_refused_until_it_is_accepted(world: "World", publish: "Publish") -> None:
    """A force-push that drops the applied commit is not followed by itself."""
    old, new = publish(0.0), publish(1.0)
    before = world.declare(old)
    world.reconcile()
    applied = world.declare(new)
    world.reconcile()
    world.repository.push(before, "refs/heads/main", applied)
    with pytest.raises(RefusedError, match="rewritten"):
        world.reconcile()
    assert _served(world) == new.id
    assert world.reconcile(accept_rewritten=True).release == old
    assert any("not in main's history" in problem.message for problem in world.ledger.verify())


def test_an_unmerged_branch_is_not_obeyed(world: "World", publish: "Publish") -> None:
    """Only main counts, whatever other branches and the working tree say."""
    release, other = publish(0.0), publish(1.0)
    world.declare(release)
    world.reconcile()
    main = world.repository.main()
    commit = world.declare(other)
    world.repository.push(commit, "refs/heads/towpath/promote/staging", None)
    world.repository.push(main, "refs/heads/main", commit)
    outcome = world.reconcile()
    assert (outcome.release, outcome.changed) == (release, False)


def test_new_service_code_restarts_the_process(world: "World", publish: "Publish") -> None:
    """A commit that changes bento/ is delivered too: another process, another applied entry, the same release."""
    world.declare(publish())
    world.reconcile()
    pid = world.target().observe().details["pid"]
    commit = world.push({"bento/service.py": b"# newer\n"})
    outcome = world.reconcile()
    assert world.target().observe().details["pid"] != pid
    assert outcome.entries[0].commit == commit
    assert world.ledger.verify() == []


def test_a_service_that_ends_at_once_is_said_with_the_end_of_its_log(world: "World", publish: "Publish") -> None:
    """Waiting for the deadline would help nobody."""
    world.push({"bento/service.py": b"# refuse to start\n"})
    world.declare(publish())
    with pytest.raises(DeliveryError, match="this service refuses to start"):
        world.reconcile()


def test_code_that_does_not_start_gives_way_to_the_code_that_served(world: "World", publish: "Publish") -> None:
    """What served is started again and is not ended for the same broken code twice; mended code takes over."""
    release = publish()
    world.declare(release)
    world.reconcile()
    world.push({"bento/service.py": b"# refuse to start\n"}, "Break the service")
    with pytest.raises(DeliveryError, match="has ended") as error:
        world.reconcile()
    assert "The code that served before is started again" in error.value.why
    until_s = time.monotonic() + 30
    while _served(world) != release.id:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    pid = world.target().observe().details["pid"]
    with pytest.raises(DeliveryError, match="did not start before"):
        world.reconcile()
    assert world.target().observe().details["pid"] == pid
    world.target().stop()
    with pytest.raises(DeliveryError, match="has ended"):
        world.reconcile()
    world.push({"bento/service.py": b"# mended\n"}, "Mend the service")
    assert world.reconcile().verdict is Verdict.PASS


def test_a_killed_service_is_started_again(world: "World", publish: "Publish") -> None:
    """The next run finds the process gone and mends that, without a new line in the ledger."""
    world.declare(publish())
    world.reconcile()
    pid = world.target().observe().details["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    outcome = world.reconcile()
    assert (outcome.changed, outcome.entries, outcome.verdict) == (True, (), Verdict.PASS)


def _identity(world: "World") -> tuple[object, int]:
    observed = world.target().observe()
    assert observed.version
    return observed.details["pid"], observed.version.generation


@pytest.mark.parametrize("lost", ["", "pointer.json", "service.json", "service.pid", "code", "converged.json"])
def test_a_lost_state_folder_is_derived_from_what_runs_and_nothing_moves(
    world: "World", publish: "Publish", lost: str
) -> None:
    """Whole or in part: the next run makes no mutating call, and the one after finds everything in its place."""
    release = publish()
    world.declare(publish(1.0))
    world.reconcile()
    world.declare(release)
    world.reconcile()
    before, tip = _identity(world), world.repository.tip(REF)
    gone = world.target().folder / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    outcome = world.reconcile()
    assert (outcome.changed, outcome.steps, outcome.entries) == (False, (), ())
    assert outcome.verdict is Verdict.PASS
    assert (_identity(world), world.repository.tip(REF)) == (before, tip)
    assert _served(world) == release.id
    assert gone.exists()
    world.target().stop()
    assert _served(world) is None


def test_without_state_a_new_release_still_swaps_into_the_process_that_runs(world: "World", publish: "Publish") -> None:
    """What is lost is not what serves: the next generation follows the one that the service tells of."""
    world.declare(publish())
    world.reconcile()
    pid, generation = _identity(world)
    shutil.rmtree(world.target().folder)
    new = publish(1.0)
    world.declare(new)
    world.reconcile()
    assert _identity(world) == (pid, generation + 1)
    assert _served(world) == new.id


def test_another_reconciler_at_work_is_waited_for_by_people(world: "World", publish: "Publish") -> None:
    """While a lease is held the run is refused as unavailable; nothing is touched."""
    world.declare(publish())
    with Lease(world.target().folder).held(), pytest.raises(UnavailableError, match="Another reconcile"):
        world.reconcile()
    assert _served(world) is None


def test_a_reconciler_that_lost_its_lease_writes_nothing(world: "World", publish: "Publish") -> None:
    """One that wakes up after another took over may neither point nor testify."""
    world.declare(publish())
    folder = world.target().folder

    def lose(step: str) -> None:
        if step == "point":
            (folder / "lease.json").write_text('{"token": 99, "holder": 1, "expires_s": 0}')

    with pytest.raises(ConflictError, match="passed to another"):
        world.reconcile(progress=lose)
    assert not (folder / "pointer.json").exists()
    assert world.ledger.entries("staging") == []


def test_without_an_identity_nothing_moves(world: "World", publish: "Publish") -> None:
    """The ledger names who wrote it: a machine that has no name is told before it serves what it could not record."""
    world.declare(publish())
    world.repository.git.run("config", "--unset", "user.email")
    with pytest.raises(UncleanRepositoryError, match="does not know who you are"):
        world.reconcile()
    assert _served(world) is None


def test_a_broken_ledger_stops_everything(world: "World", publish: "Publish") -> None:
    """Nothing is added to a chain that somebody has edited, and nothing is moved."""
    old = publish(0.0)
    world.declare(old)
    world.reconcile()
    tip = world.repository.tip(REF)
    assert tip
    data = world.repository.read_bytes(tip, "staging.jsonl")
    assert data
    forged = world.repository.commit([tip], tip, {"staging.jsonl": data.replace(b"because", b"becaus.")}, "Forge")
    world.repository.push(forged, REF, tip)
    world.declare(publish(1.0))
    with pytest.raises(LedgerError, match="was edited"):
        world.reconcile()
    assert _served(world) == old.id


def test_an_unknown_rollout_is_refused_before_anything_moves(world: "World", publish: "Publish") -> None:
    """What a target cannot do it does not pretend."""
    world.declare(publish(), rollout={"strategy": "canary", "steps": [0.5, 1.0]})
    with pytest.raises(RefusedError, match="canary"):
        world.reconcile()


def test_a_deadline_ends_the_waiting(world: "World", publish: "Publish") -> None:
    """What is not live in time is said with what is waited for."""
    world.declare(publish())
    with pytest.raises(UnavailableError, match="Still waiting for"):
        reconcile(
            world.repository,
            world.registry,
            "staging",
            world.model,
            targets={"local": world.make_target},
            deadline_s=0.0,
        )
