"""Real git repositories: a bare remote and the clones of several people."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from towpath_gitops.repository import Repository

Clone = Callable[[str], Repository]

# A loaded machine is slow, not wrong.
settings.register_profile("gitops", deadline=None, max_examples=60)
settings.load_profile("gitops")


@pytest.fixture(autouse=True)
def _own_git_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the git configuration of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return result.stdout.strip()


@pytest.fixture
def git() -> Callable[..., str]:
    """Run git in a folder and return what it prints."""
    return _git


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty bare repository that everybody pushes to."""
    path = tmp_path / "remote.git"
    _git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    return path


@pytest.fixture
def clone(tmp_path: Path, remote: Path) -> Clone:
    """Return a function that makes the clone of the person called `name`, whose email is `name@example.org`."""

    def make(name: str) -> Repository:
        folder = tmp_path / name
        _git(tmp_path, "clone", "--quiet", str(remote), str(folder))
        _git(folder, "config", "user.name", name.title())
        _git(folder, "config", "user.email", f"{name}@example.org")
        return Repository.discover(folder)

    return make


@pytest.fixture
def ada(clone: Clone) -> Repository:
    """Ada's clone, with a first commit on the remote's main branch."""
    repository = clone("ada")
    first = repository.commit([], None, {"README.md": b"A model.\n", "src/a.py": b"1\n"}, "Begin")
    repository.push(first, "refs/heads/main", None)
    _git(repository.root, "reset", "--quiet", "--hard", first)
    return repository
