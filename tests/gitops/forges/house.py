"""A house in which forges are tested: a bare remote, people with a clone, and pull requests on any forge."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fake_github import NAME, ROBOT, FakeGitHub
from proxy import Proxy

from towpath_gitops.forges.base import Forge, Pull
from towpath_gitops.forges.github.client import Api
from towpath_gitops.forges.github.forge import GitHubForge
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.repository import Repository

PEOPLE = ("ada", "grace", "mallory")


@dataclass
class House:
    """Ada proposes, Grace and Mallory are others; all three may push."""

    folder: Path
    opener: Callable[[Repository, str], Forge] = field(default=lambda repository, _: LocalForge(repository))
    called: str = "{}@example.org"  # how the forge calls a person

    def __post_init__(self) -> None:
        """Make the remote and Ada's clone, with a first commit on main."""
        self.remote = self.folder / "remote.git"
        self.folder.mkdir(parents=True)
        for arguments in (
            ("init", "--quiet", "--bare", "--template=", "--initial-branch=main", "remote.git"),
            ("init", "--quiet", "--template=", "--initial-branch=main", "ada"),
            ("-C", "ada", "remote", "add", "origin", "../remote.git"),
        ):
            subprocess.run(["git", *arguments], cwd=self.folder, check=True)
        first = self.ada.commit([], None, {"README.md": b"A model.\n"}, "Begin")
        self.ada.push(first, "refs/heads/main", None)

    def person(self, name: str) -> Repository:
        """Return somebody's view of the one clone: the same objects, another identity."""
        return Repository(self.folder / "ada").acting_as(name.title(), f"{name}@example.org")

    def clone(self, name: str) -> Repository:
        """Return a clone of somebody's own."""
        folder = self.folder / f"clone-{name}"
        subprocess.run(["git", "clone", "--quiet", str(self.remote), str(folder)], check=True)
        return Repository(folder).acting_as(name.title(), f"{name}@example.org")

    @property
    def ada(self) -> Repository:
        """Ada's clone."""
        return self.person("ada")

    def name(self, person: str) -> str:
        """Return how the forge calls a person."""
        return self.called.format(person)

    def forge(self, name: str = "ada") -> Forge:
        """Return the forge as a person opens it."""
        return self.opener(self.person(name), name)

    def main(self) -> str:
        """Return where main is now."""
        self.ada.fetch()
        return self.ada.main()

    def branch(
        self, name: str, *, path: str | None = None, content: bytes = b"1", repository: Repository | None = None
    ) -> str:
        """Push a branch with one changed file, or a commit more on it; return its name."""
        repository = repository or self.ada
        repository.fetch()
        main, tip = repository.main(), repository.tip(f"refs/heads/{name}")
        commit = repository.commit([tip or main], tip or main, {path or name: content}, f"Change {name}")
        repository.push(commit, f"refs/heads/{name}", tip)
        return name

    def move_main(self, path: str = "other") -> str:
        """Push a commit to main by hand."""
        main = self.main()
        commit = self.ada.commit([main], main, {path: main.encode()}, "By hand")
        self.ada.push(commit, "refs/heads/main", main)
        return commit

    def open(self, name: str, who: str = "ada", *, content: bytes = b"1", push: bool = True, **fields: str) -> Pull:
        """Push a branch and open its pull request."""
        if push:
            self.branch(name, content=content, repository=self.person(who))
        texts = {"title": "A change", "body": "# Why\n", "data": "{}\n"} | fields
        return self.forge(who).open(branch=name, labels=["promote"], **texts)

    def close(self) -> None:
        """Leave it: nothing runs."""

    def tips(self) -> str:
        """Return every ref of the remote with what it points to."""
        command = ["git", "for-each-ref", "--format=%(objectname) %(refname)"]
        return subprocess.run(command, cwd=self.remote, check=True, capture_output=True, text=True).stdout

    def refs(self, prefix: str) -> set[str]:
        """Return the refs of the remote below a prefix."""
        command = ["git", "for-each-ref", "--format=%(refname)", prefix.rstrip("/")]
        done = subprocess.run(command, cwd=self.remote, check=True, capture_output=True, text=True)
        return set(done.stdout.split())


class GitHubHouse(House):
    """A house whose pull requests live on our own GitHub, behind the proxy that knows what GitHub allows."""

    def __init__(self, folder: Path) -> None:
        """Start the fake and the proxy on free ports."""
        super().__init__(folder, lambda _, name: self.github(name), "@{}")
        self.slept: list[float] = []
        emails = {f"{name}@example.org": name for name in PEOPLE} | {"robot@example.org": ROBOT}
        tokens = {f"token-of-{name}": name for name in PEOPLE} | {"token-of-robot": ROBOT}
        self.fake = FakeGitHub(self.remote, tokens, emails)
        self.proxy = Proxy(self.fake.port)

    def github(self, name: str, repository: Repository | None = None) -> GitHubForge:
        """Return the forge as a person, or the robot, opens it."""
        api = Api(self.proxy.address, f"token-of-{name}", sleep=self.slept.append)
        return GitHubForge(repository or self.person(name), NAME, api)

    def close(self) -> None:
        """Stop both, and insist that nothing was said that GitHub's description does not allow.

        Raises:
            AssertionError: naming what was said.
        """
        self.proxy.close()
        self.fake.close()
        assert self.proxy.violations == []
