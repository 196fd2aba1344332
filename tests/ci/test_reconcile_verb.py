"""What the reconcile verb adds to the reconciler: it mends without delivering, and shows deliveries on the forge."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from towpath_ci.announcements import announce, announce_failure
from towpath_ci.main import app
from towpath_ci.verbs import reconcile as verb
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.delivery.shifted import Shift
from towpath_gitops.delivery.sweep import Sweeper, Swept
from towpath_gitops.errors import DeliveryError, NotFoundError, UnavailableError
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.records.base import digest_bytes, short
from towpath_gitops.records.deployment import Deployment, Experiment, PinnedRelease
from towpath_gitops.records.release import Release

COMMIT = "c" * 40


@pytest.fixture
def shown(repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Return what is shown on the forge of the repository: environment, state and words."""
    told: list[tuple[str, str, str]] = []

    def deployed(_: LocalForge, *, commit: str, environment: str, state: str, description: str) -> None:
        assert len(commit) == 40
        told.append((environment, str(state), description))

    assert repository_root
    monkeypatch.setattr(LocalForge, "deployed", deployed)
    return told


@pytest.fixture
def workspace(repository_root: Path) -> Workspace:
    """Return the repository's workspace."""
    with chdir(repository_root):
        return Workspace.here()


def reconcile(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verb for staging."""
    command = [sys.executable, "-m", "towpath_ci", "reconcile", "--environment", "staging", "--json", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_mending_leaves_a_new_declaration_to_its_own_delivery(
    repository_root: Path, declare: Callable[[], str]
) -> None:
    """What was merged but not delivered is not touched; a delivery would try, and fail here without a registry."""
    declare()
    mended = reconcile(repository_root, "--mend")
    assert (mended.returncode, json.loads(mended.stdout)[0]["waiting"]) == (0, True)
    assert reconcile(repository_root).returncode == NotFoundError.exit_code


def test_a_delivery_is_shown_once(workspace: Workspace, release: Release, shown: list[Any]) -> None:
    """What now serves is shown with its release; what has not moved, or was never declared, is not shown again."""
    announce(workspace, Outcome("staging", "canal", COMMIT, release, changed=True))
    announce(workspace, Outcome("staging", "canal", COMMIT, release))
    announce(workspace, Outcome("staging", "canal", COMMIT, None, changed=True))
    assert shown == [("staging", "success", f"{release} serves, verified")]


def test_success_names_the_challenger(
    repository_root: Path,
    release: Release,
    shown: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line of the verb, of a pass over everything, and what the forge shows say who else answers, and how much."""
    beside = Experiment(challenger=PinnedRelease.of(release), mode="ab", share=0.25)
    outcome = Outcome("staging", "canal", COMMIT, release, changed=True, experiment=beside)
    monkeypatch.chdir(repository_root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(verb, "bring_about", lambda *_, **__: outcome)
    monkeypatch.setattr(Sweeper, "sweep", lambda _: Swept(COMMIT, outcomes=(outcome,)))
    words = f"{release}, beside it the challenger {release.semver} ({release.short_id}) in mode ab with a share of 0.25"
    for more in (("--environment", "staging"), ("--all",)):
        with pytest.raises(SystemExit) as ended:
            app(["reconcile", *more])
        assert not ended.value.code
        assert f"now serves {words}" in capsys.readouterr().out
    assert {told for *_, told in shown} == {words.replace(f"{release},", f"{release} serves, verified,")}


def test_what_the_guard_took_back_is_shown_as_a_failure(
    workspace: Workspace, release: Release, deployment: Deployment, shown: list[Any]
) -> None:
    """The declared release is not what serves, and the page says which does."""
    info = workspace.repository.log(workspace.main)[0]
    stable = Declared(deployment, release, COMMIT, info, author="ada@example.org")
    shift = Shift(digest_bytes(b"bad"), stable, COMMIT, datetime(2026, 1, 1, tzinfo=UTC), "errors: 12 %", told=True)
    announce(workspace, Outcome("staging", "canal", COMMIT, release, changed=True, shift=shift))
    ((environment, state, words),) = shown
    assert (environment, state) == ("staging", "failure")
    assert words == f"{short(shift.release)} was taken back, {release} serves"


def test_a_failure_is_shown_in_one_line(workspace: Workspace, shown: list[Any]) -> None:
    """The first beat of the error stands beside the environment."""
    announce_failure(workspace, "staging", DeliveryError("It does\nnot load", why="No memory."))
    assert shown == [("staging", "failure", "It does not load")]


def test_a_forge_that_cannot_be_told_fails_nothing(
    workspace: Workspace, release: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The delivery counts, not its picture: the reason is told on stderr and the command goes on."""

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("GitHub does not answer")

    monkeypatch.setattr(LocalForge, "deployed", away)
    announce(workspace, Outcome("staging", "canal", COMMIT, release, changed=True))
    told = capsys.readouterr()
    assert (told.out, "GitHub does not answer" in told.err) == ("", True)
