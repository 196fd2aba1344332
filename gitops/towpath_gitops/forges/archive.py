"""Settled pull requests of the local forge, on one ref: ten thousand of them cost a new one no more than ten.

Each commit of `refs/towpath/settled` is one settling. Its tree holds a small file for every settled pull request, a
hundred to a folder; its parents are the settling before and the last event of the pull request, so that whoever fetches
the ref has every chain of events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import Field

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.base import Commit, Record
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import Repository

SETTLED: Final = "refs/towpath/settled"
_LEFT_OUT: Final = {"comments": (), "approvals": (), "body": "", "data": "", "check": None, "address": ""}


class Settled(Record):
    """What the archive holds of a pull request."""

    tip: Commit = Field(description="the last event of its chain, which tells everything")
    pull: Pull = Field(description="in brief, for lists")


def brief(pull: Pull) -> Pull:
    """Return a pull request as lists show it once it is settled: without what only its chain of events can prove."""
    return pull.model_copy(update=_LEFT_OUT | {"address": pull.address})


def path_of(number: int) -> str:
    """Return the file of a pull request: no folder has more than a hundred entries but the first, in ten thousands."""
    return f"{number // 10_000}/{number // 100 % 100:02}/{number % 100:02}.json"


@dataclass(frozen=True)
class Archive:
    """The settled pull requests, as last fetched."""

    repository: Repository

    @property
    def tip(self) -> str | None:
        """The last settling, or None before the first."""
        return self.repository.tip(SETTLED)

    def address(self, number: int) -> str:
        """Return where a person finds a pull request in git."""
        return f"{SETTLED}:{path_of(number)}"

    def find(self, number: int) -> Settled | None:
        """Return what is kept of a pull request, or None: one look, however many there are.

        Raises:
            InvalidFileError: what is kept is damaged, or speaks of another.
        """
        # Not through `Repository.read`, which lists all files of a commit first.
        result = self.repository.git.attempt("cat-file", "blob", self.address(number))
        return self._parsed(number, result.stdout) if result.returncode == 0 else None

    def all(self) -> list[Settled]:
        """Return everything that is kept, oldest first.

        Raises:
            InvalidFileError: something is damaged.
        """
        tip = self.tip
        if tip is None:
            return []
        names = self.repository.git.text("ls-tree", "-r", "-z", "--name-only", "--full-tree", tip)
        numbers = sorted(_number(name) for name in names.split("\0") if name)
        wanted = "".join(f"{tip}:{path_of(number)}\n" for number in numbers).encode()
        answer = self.repository.git.run("cat-file", "--batch", stdin=wanted)
        return [self._parsed(number, data) for number, data in zip(numbers, _blobs(answer), strict=True)]

    def with_(self, settled: Settled, before: str | None, *, at: datetime) -> str:
        """Return a new settling after `before`, in which a pull request is kept; no ref moves.

        Not through `Repository.commit`, which writes an index of all files: only the folders on the way are read.
        """
        git, number = self.repository.git, settled.pull.number
        data = settled.model_dump_json(by_alias=True, indent=2) + "\n"
        blob = git.text("hash-object", "-w", "--stdin", stdin=data.encode())
        tree = self._with_file(f"{before}^{{tree}}" if before else None, path_of(number).split("/"), blob)
        parents = [argument for parent in (before, settled.tip) if parent for argument in ("-p", parent)]
        dates = {f"GIT_{role}_DATE": at.isoformat() for role in ("AUTHOR", "COMMITTER")}
        message = f"#{number}: {settled.pull.state}\n".encode()
        return git.text("commit-tree", tree, *parents, "-F", "-", stdin=message, environment=dates)

    def _with_file(self, tree: str | None, path: Sequence[str], blob: str) -> str:
        """Return a tree like `tree` (None: an empty one) with one file more, or another in its place."""
        listing = self.repository.git.text("ls-tree", "-z", tree) if tree else ""
        lines = (line.split("\t", 1) for line in listing.split("\0") if line)
        entries = {name: about for about, name in lines}
        name, *rest = path
        if rest:
            inner = entries[name].split(" ")[2] if name in entries else None
            entries[name] = f"040000 tree {self._with_file(inner, rest, blob)}"
        else:
            entries[name] = f"100644 blob {blob}"
        folder = "".join(f"{about}\t{name}\0" for name, about in entries.items())
        return self.repository.git.text("mktree", "-z", stdin=folder.encode())

    def _parsed(self, number: int, data: bytes) -> Settled:
        settled = parse_json(data, Settled, source=self.address(number))
        if settled.pull.number != number:
            raise InvalidFileError(f"{self.address(number)} holds pull request #{settled.pull.number}")
        return settled.model_copy(update={"pull": settled.pull.model_copy(update={"address": self.address(number)})})


def _number(name: str) -> int:
    digits = name.removesuffix(".json").replace("/", "")
    if not digits.isdecimal() or path_of(int(digits)) != name:
        raise InvalidFileError(f"{SETTLED} holds {name}, which is no pull request's file")
    return int(digits)


def _blobs(answer: bytes) -> list[bytes]:
    """Return the contents in an answer of `cat-file --batch`: a line with the size, the bytes, a line break."""
    found: list[bytes] = []
    place = 0
    while place < len(answer):
        end = answer.index(b"\n", place)
        size = int(answer[place:end].split()[-1])
        found.append(answer[end + 1 : end + 1 + size])
        place = end + size + 2
    return found
