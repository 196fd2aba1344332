"""The review as a required check: every pull request gets a verdict, and the forge shows it."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from towpath_ci.verbs import review
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.forges.base import Check, Safeguards
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.repository import Repository

STAGING = layout.environment_path("staging", "canal")
Offer = Callable[[str, str, str], int]


@pytest.fixture
def offer(repository_root: Path) -> Offer:
    """Return a function that opens a pull request from a branch with one file, and returns its number."""

    def opened(branch: str, path: str, text: str) -> int:
        repository = Repository.discover(repository_root)
        repository.fetch()
        main = repository.main()
        repository.push(repository.commit([main], main, {path: text.encode()}, "Work"), f"refs/heads/{branch}", None)
        return LocalForge(repository).open(branch=branch, title=f"Work on {branch}", body="", data="").number

    return opened


def towpath(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verb in a repository."""
    command = [sys.executable, "-m", "towpath_ci", "review", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def shown(root: Path, number: int) -> Check:
    """Return what the forge shows of the last review."""
    check = LocalForge(Repository.discover(root)).get(number).check
    assert check
    return check


def test_code_passes_the_required_check(repository_root: Path, offer: Offer) -> None:
    """A pull request that releases nothing is not held up by a review that has nothing to say about it."""
    number = offer("work", "src/canal/notes.py", '"""Notes."""\n')
    done = towpath(repository_root, str(number), "--publish")
    assert (done.returncode, "releases nothing" in done.stdout) == (0, True)
    assert (shown(repository_root, number).ok, shown(repository_root, number).title) == (True, "It releases nothing")


def test_every_open_pull_request_is_judged_afresh(repository_root: Path, offer: Offer) -> None:
    """Time alone changes verdicts: all are renewed, and one that is refused fails nothing but itself."""
    text = (repository_root / STAGING).read_text()
    code = offer("work", "notes.txt", "?\n")
    hand_made = offer("hand", STAGING, text.replace("port: ", "port: 1 # "))
    done = towpath(repository_root, "--all", "--publish", "--json")
    assert done.returncode == 0
    assert {each["number"]: each["ok"] for each in json.loads(done.stdout)} == {code: True, hand_made: False}
    assert not shown(repository_root, hand_made).ok


def test_one_or_all_must_be_asked_for(repository_root: Path) -> None:
    """Neither, and both, are mistakes of whoever types."""
    assert towpath(repository_root).returncode == 2
    assert towpath(repository_root, "1", "--all").returncode == 2


@pytest.fixture
def with_rules(sound: Safeguards, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], None]:
    """Return a function that gives the local forge rules of its own: sound ones but for a change in those of main."""

    def give(change: dict[str, object]) -> None:
        changed = sound.model_copy(update={"branch": sound.branch.model_copy(update=change)})
        monkeypatch.setattr(LocalForge, "safeguards", lambda _: changed)

    return give


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"pull_required": False}, "Main changes by pull request only"),
        ({"checks": ()}, "Main takes only what Towpath's review lets through"),
        ({"rewritable": True}, "Nobody rewrites or deletes main"),
    ],
)
def test_a_way_around_the_verdict_stands_beside_it(
    change: dict[str, object], words: str, with_rules: Callable[..., None], offer: Offer, repository_root: Path
) -> None:
    """Where the forge's rules let a merge pass by the review, its readers are told so."""
    with_rules(change)
    number = offer("work", "notes.txt", "?\n")
    with chdir(repository_root):
        review._judge(Workspace.here(), number, publish=True)
    summary = shown(repository_root, number).summary
    assert ("way around" in summary) == bool(words)
    assert words in summary
