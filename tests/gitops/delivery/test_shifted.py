"""A shift stands until main decides again: reconcile keeps it, finishes it after a crash, and never swings back."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.delivery.shifted import Intent, read_intent, write_intent
from towpath_gitops.records.deployment import PinnedRelease
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

SINCE = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _intend(world: "World", commit: str, bad: Release, to: Release) -> None:
    intent = Intent(release=bad.id, commit=commit, to=to.id, since=SINCE, figures="errors 12 % of 340 requests")
    write_intent(world.repository.root, "staging", world.model, intent)


@pytest.fixture
def shifted(world: "World", publish: "Publish") -> tuple[Release, Release, Outcome]:
    """A bad release that main declares, the good one that serves in its place, and the run that put it there."""
    good, bad = publish(0.0), publish(1.0)
    world.declare(good)
    world.reconcile()
    commit = world.declare(bad)
    world.reconcile()
    _intend(world, commit, bad, good)
    return bad, good, world.reconcile()


def _serves(world: "World") -> str | None:
    version = world.target().observe().version
    return version.release if version else None


def test_an_intent_that_was_cut_short_is_finished(world: "World", shifted: tuple[Release, Release, Outcome]) -> None:
    """Killed before traffic moved, the next run moves it, says so in the ledger, and the ledger holds against main."""
    bad, good, outcome = shifted
    assert (_serves(world), outcome.release, outcome.changed) == (good.id, good, True)
    assert outcome.shift
    assert (outcome.shift.release, outcome.verdict) == (bad.id, Verdict.PASS)
    told, verified = outcome.entries
    assert (told.event, told.release, told.to, told.note) == (
        Event.SHIFTED,
        bad.id,
        good.id,
        "errors 12 % of 340 requests",
    )
    assert (verified.event, verified.release) == (Event.VERIFIED, good.id)
    assert world.ledger.verify() == []


def test_reconcile_never_swings_back(world: "World", shifted: tuple[Release, Release, Outcome]) -> None:
    """However often it runs, after drift as well, the good release goes on serving; the bad one is not healthy."""
    bad, good, _ = shifted
    (world.repository.root / ".towpath/guard/staging" / f"{world.model}.json").unlink()  # the ledger alone suffices
    again = world.reconcile()
    assert (again.changed, again.entries) == (False, ())
    assert again.shift
    assert again.shift.told
    world.target().stop()
    assert world.reconcile().release == good
    assert _serves(world) == good.id
    assert world.ledger.healthy_since("staging", world.model, bad.id) is None
    assert world.ledger.healthy_since("staging", world.model, good.id)


def test_a_merged_rollback_moves_nothing(world: "World", shifted: tuple[Release, Release, Outcome]) -> None:
    """Main follows: nothing moves any more, and the ledger says that what serves is declared again."""
    bad, good, _ = shifted
    world.declare(good, change={"type": "rollback", "from": bad.id, "reason": "errors"})
    outcome = world.reconcile()
    assert (outcome.changed, outcome.shift, outcome.release) == (False, None, good)
    assert [entry.event for entry in outcome.entries] == [Event.APPLIED, Event.VERIFIED]
    assert world.ledger.verify() == []


def test_a_person_who_promotes_wins(
    world: "World", publish: "Publish", shifted: tuple[Release, Release, Outcome]
) -> None:
    """A new release on main ends the shift, and so does the bad one when somebody promotes it again."""
    bad, _, _ = shifted
    third = publish(2.0)
    world.declare(third)
    assert (world.reconcile().shift, _serves(world)) == (None, third.id)
    world.declare(bad)
    assert (world.reconcile().shift, _serves(world)) == (None, bad.id)


def test_what_keeps_the_release_decides_nothing(
    world: "World", publish: "Publish", shifted: tuple[Release, Release, Outcome]
) -> None:
    """Neither a hold nor an experiment that is merged meanwhile brings the bad release back."""
    bad, good, _ = shifted
    world.declare(bad, change={"type": "hold", "from": bad.id, "reason": "wait"})
    assert (world.reconcile().release, _serves(world)) == (good, good.id)
    experiment = {"challenger": PinnedRelease.of(publish(3.0)).plain(), "mode": "ab", "share": 0.5}
    world.declare(bad, change={"type": "experiment", "from": bad.id, "reason": "try"}, experiment=experiment)
    assert (world.reconcile().release, _serves(world)) == (good, good.id)
    version = world.target().observe().version
    assert version
    assert version.lanes == {"champion": good.id}


def test_an_owner_who_edits_the_target_or_the_code_decides_nothing(
    world: "World", shifted: tuple[Release, Release, Outcome]
) -> None:
    """Their edit is followed, with the good release."""
    _, good, _ = shifted
    world.push({"bento/service.py": b"# newer\n"})
    outcome = world.reconcile()
    assert (outcome.changed, outcome.release, _serves(world)) == (True, good, good.id)
    world.workers = 2
    path = layout.environment_path("staging", world.model)
    text = world.repository.read(world.repository.main(), path) or ""
    world.push({path: text.replace("workers: 1", "workers: 2").encode()})
    assert world.reconcile().release == good
    assert world.ledger.verify() == []


def test_an_intent_is_void_once_main_has_decided(world: "World", publish: "Publish") -> None:
    """An old intent neither holds up a later promotion of the same release nor anything else."""
    good, bad = publish(0.0), publish(1.0)
    world.declare(good)
    world.reconcile()
    _intend(world, world.declare(bad), bad, good)
    world.declare(good, change={"type": "rollback", "from": bad.id, "reason": "errors"})
    world.declare(bad)
    outcome = world.reconcile()
    assert (outcome.shift, outcome.release, _serves(world)) == (None, bad, bad.id)
    assert read_intent(world.repository.root, "staging", world.model) is None


def test_a_broken_intent_is_none(world: "World") -> None:
    """It was made by hand: nothing follows from it."""
    path = world.repository.root / ".towpath/guard/staging" / f"{world.model}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert read_intent(world.repository.root, "staging", world.model) is None
