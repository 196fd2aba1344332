"""What main's history says by itself: every declaration of every place, in the order in which main made them.

This much of the ledger can be rebuilt from git alone: which commit declared which release, as which change, for what
reason, proposed and approved by whom, resting on which evidence. Not in main's history, and so the ledger's alone, are
the moments: when a release was applied, what its verifications said, when the guard shifted traffic. The history is
read in a handful of calls to git, however long it is.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.desired import SERVICE
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.history import line_of
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.repository import Repository
from towpath_gitops.trees import contents_of

_FILE_MODES: Final = frozenset({"100644", "100755"})  # anything else is a link, a submodule or nothing
_COMMIT: Final = "\x02"  # before each commit in git's answer; no path begins so, for they begin with our folders


class Place(NamedTuple):
    """One model in one environment."""

    environment: str
    model: str


class _Change(NamedTuple):
    """What a commit of main made of a file."""

    position: int  # of the commit on main's line, from its beginning
    commit: str
    blob: str | None  # None: nothing that is read


@dataclass(frozen=True)
class Declaration:
    """One commit of main, and the release that it declares for a place."""

    place: Place
    declared: Declared

    @property
    def merged(self) -> datetime:
        """When the commit was made that main holds."""
        return self.declared.info.at


class History:
    """Main's history as last fetched."""

    def __init__(self, repository: Repository) -> None:
        """Read it.

        Raises:
            UncleanRepositoryError: main was never fetched.
        """
        self.repository = repository
        self.main = repository.main()
        self.line = line_of(repository, self.main)
        self._infos = {info.sha: info for info in repository.log(self.main, first_parent=False)}
        self._files: dict[Place, list[_Change]] = {}
        self._service: set[str] = set()  # commits that changed the code that serves
        self._delivering: set[tuple[str, Place]] = set()  # commits that changed a place's file
        self._positions: dict[str, int] = {}
        self._parsed: dict[tuple[str, Place], Deployment | None] = {}
        self._facts: dict[tuple[str, Place], dict[str, Any] | None] = {}
        self._read()
        blobs = (change.blob for changes in self._files.values() for change in changes if change.blob)
        self._contents = contents_of(repository.root, blobs)

    @property
    def places(self) -> list[Place]:
        """Every place that main has or ever had a file for."""
        return sorted(self._files)

    def position(self, commit: str) -> int:
        """Return where a commit of main's line stands on it, from 0 at its beginning."""
        return self._positions[commit]

    def declared(self, commit: str, place: Place) -> Declared | None:
        """Return what a commit of main's line declares for a place; None when it declares nothing there."""
        changes = self._files.get(place, [])
        index = bisect_right(changes, self._positions[commit], key=lambda change: change.position)
        deployment = self._deployment(changes[index - 1].blob, place) if index else None
        if deployment is None or deployment.declared is None:
            return None
        info = self._infos[commit]
        proposed = self._infos[info.parents[1]] if len(info.parents) > 1 else info
        return Declared(deployment, deployment.declared, commit, info, proposed.author)

    def facts(self, commit: str, place: Place) -> dict[str, Any] | None:
        """Return what the ledger must repeat of a declaration; None when the commit declares nothing there."""
        if (commit, place) not in self._facts:
            declared = self.declared(commit, place)
            self._facts[commit, place] = declared.facts() if declared else None
        return self._facts[commit, place]

    def changes(self, place: Place) -> list[str]:
        """Return the commits of main's line that changed the file of a place, oldest first."""
        return [change.commit for change in self._files.get(place, [])]

    def delivers(self, commit: str, place: Place) -> bool:
        """Return whether a commit changed what a place serves: its file, or the code of the service."""
        return commit in self._service or (commit, place) in self._delivering

    def declarations(self, place: Place) -> Iterator[Declaration]:
        """Yield what main declared for a place, oldest first."""
        for commit in self.changes(place):
            declared = self.declared(commit, place)
            if declared:
                yield Declaration(place, declared)

    def _deployment(self, blob: str | None, place: Place) -> Deployment | None:
        """Return what a file says; read once, however many entries speak of it."""
        if blob is None:
            return None
        if (blob, place) not in self._parsed:
            self._parsed[blob, place] = self._parse(blob, place)
        return self._parsed[blob, place]

    def _parse(self, blob: str, place: Place) -> Deployment | None:
        try:
            found = parse_deployment(self._contents[blob].decode(), source=layout.environment_path(*place))
        except (InvalidFileError, UnicodeDecodeError):  # main held a broken file for a while: it declared nothing
            return None
        return found if (found.environment, found.model) == place else None

    def _read(self) -> None:
        self._positions = {commit: number for number, commit in enumerate(self._commits())}
        arguments = (
            "--first-parent",
            "-m",
            "--reverse",
            "--no-renames",
            "--no-abbrev",
            "--raw",
            "-z",
            "--format=%x02%H",
        )
        listing = self.repository.git.text("log", *arguments, self.main, "--", layout.ENVIRONMENTS, SERVICE)
        commit, about = "", ""
        for token in filter(None, (token.lstrip("\n") for token in listing.split("\0"))):
            if token.startswith(_COMMIT):
                commit = token[1:]
            elif token.startswith(":") and not about:
                about = token
            else:
                self._note(commit, about.split(" "), token)
                about = ""

    def _commits(self) -> list[str]:
        return self.repository.git.text("rev-list", "--first-parent", "--reverse", self.main, "--").split()

    def _note(self, commit: str, about: list[str], path: str) -> None:
        parts = PurePosixPath(path)
        if parts.parts[0] == SERVICE:
            self._service.add(commit)
        elif parts.suffix == ".yaml" and parts.parent.parent == PurePosixPath(layout.ENVIRONMENTS):
            place, mode, blob = Place(parts.parent.name, parts.stem), about[1], about[3]
            change = _Change(self._positions[commit], commit, blob if mode in _FILE_MODES else None)
            self._files.setdefault(place, []).append(change)
            self._delivering.add((commit, place))
