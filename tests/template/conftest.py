"""A repository with the template of this work tree at a tag, and a way to render it as Copier's users do."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from copier import run_copy

ROOT = Path(__file__).parents[2]
# What a render needs: the questions, the skeleton, and the lock that it includes.
PARTS = ("copier.yml", "template", "requirements.txt")

Git = Callable[..., str]


def run_git(folder: Path, *arguments: str) -> str:
    """Run git for a user called Owner and return what it printed; raise when it fails."""
    who = ("-c", "user.name=Owner", "-c", "user.email=owner@example.com", "-c", "init.defaultBranch=main")
    result = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return result.stdout.strip()


@pytest.fixture(scope="session")
def git() -> Git:
    """Return a function that runs git in a folder."""
    return run_git


@pytest.fixture(scope="session")
def commit() -> Callable[[Path], str]:
    """Return a function that commits all of a folder, a repository or not yet, and returns the commit."""

    def commit_all(folder: Path) -> str:
        if not (folder / ".git").exists():
            run_git(folder, "init", "--quiet")
        run_git(folder, "add", "--all")
        run_git(folder, "commit", "--quiet", "--message", "As it is now")
        return run_git(folder, "rev-parse", "HEAD")

    return commit_all


def make_source(folder: Path, commit: Callable[[Path], str]) -> Path:
    """Write a repository with the template as it is in this work tree, tagged v1.0.0."""
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    commit(folder)
    run_git(folder, "tag", "v1.0.0")
    return folder


def render_from(source: Path) -> Callable[..., Path]:
    """Return a function that renders a template: without trust, defaults where nothing is answered."""

    def rendered(into: Path, answers: Mapping[str, object] | None = None) -> Path:
        run_copy(str(source), into, data=dict(answers or {}), defaults=True, quiet=True, unsafe=False)
        return into

    return rendered


@pytest.fixture
def source(tmp_path: Path, commit: Callable[[Path], str]) -> Path:
    """Return a template of this test's own, which it may change; its path has a space."""
    return make_source(tmp_path / "towpath source", commit)


@pytest.fixture
def render(source: Path) -> Callable[..., Path]:
    """Return a function that renders this test's template into a folder."""
    return render_from(source)


@pytest.fixture(scope="session")
def render_at(tmp_path_factory: pytest.TempPathFactory, commit: Callable[[Path], str]) -> Callable[..., Path]:
    """Return a function that renders the template as it is, for tests that share what they render."""
    return render_from(make_source(tmp_path_factory.mktemp("shared") / "towpath source", commit))
