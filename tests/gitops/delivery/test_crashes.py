"""A reconciler killed anywhere: the next run ends where an undisturbed one does, and some release always serves."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

SCRIPT = Path(__file__).with_name("killed_run.py")
STEPS = ("fetch", "export", "point", "retire", "start", "converge", "verify", "record", "publish")


def _killed_at(world: "World", step: str) -> None:
    arguments = [str(world.repository.root), world.registry.tracking_uri, world.model, step, *world.command]
    run = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_a_swap(world: "World", publish: "Publish", step: str) -> None:
    """The old or the new release answers after the kill; one more run converges, with the same ledger."""
    old, new = publish(0.0), publish(1.0)
    store = layout.store(world.repository.root)
    world.registry.fetch(new, store)  # so that the killed process need not import MLflow
    world.declare(old)
    world.reconcile()
    world.push({"bento/service.py": b"# newer\n"})
    world.declare(new)
    _killed_at(world, step)
    if step not in {"retire", "start", "converge"}:  # between two processes of other code there is none
        version = world.target().observe().version
        assert version
        assert version.release in {old.id, new.id}
    assert world.reconcile().verdict is Verdict.PASS
    assert [entry.event for entry in world.ledger.entries("staging")] == [Event.APPLIED, Event.VERIFIED] * 2
    assert world.ledger.verify() == []
    again = world.reconcile()
    assert (again.changed, again.entries) == (False, ())


@pytest.mark.parametrize("step", ["point", "start", "converge", "record"])
def test_killed_at_a_step_of_a_first_release(world: "World", publish: "Publish", step: str) -> None:
    """From nothing, one more run converges."""
    release = publish()
    world.registry.fetch(release, layout.store(world.repository.root))
    world.declare(release)
    _killed_at(world, step)
    assert world.reconcile().verdict is Verdict.PASS
    assert [entry.event for entry in world.ledger.entries("staging")] == [Event.APPLIED, Event.VERIFIED]
