"""The files of commits, as git tells them: immutable, and suspicious until checked."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.git import Git

_FORBIDDEN_MODES = {"120000": "a symbolic link", "160000": "a submodule"}


@dataclass(frozen=True)
class Entry:
    """One file of a tree."""

    mode: str
    blob: str
    path: str


# A commit's files and a blob's bytes never change: asking git once is enough, and a review asks many times.


@lru_cache(maxsize=64)
def files_of(root: Path, commit: str) -> tuple[Entry, ...]:
    """Return every entry of the commit with the full hash `commit` in the repository at `root`, links included.

    Raises:
        NotFoundError: the commit is not in this clone.
    """
    result = Git(root).attempt("ls-tree", "-r", "-z", "--full-tree", commit)
    if result.returncode:
        raise NotFoundError(f"No commit {commit} in this clone", hint="git fetch")
    lines = filter(None, result.stdout.decode(errors="surrogateescape").split("\0"))
    parts = (line.split("\t", 1) for line in lines)
    return tuple(Entry(about.split(" ")[0], about.split(" ")[2], path) for about, path in parts)


@lru_cache(maxsize=512)
def content_of(root: Path, blob: str) -> bytes:
    """Return the bytes of a blob."""
    return Git(root).run("cat-file", "blob", blob)


def refuse_link(entry: Entry) -> None:
    """Refuse an entry that leads elsewhere.

    Raises:
        InvalidFileError: it is a symbolic link or a submodule.
    """
    if entry.mode in _FORBIDDEN_MODES:
        raise InvalidFileError(
            f"{entry.path} is {_FORBIDDEN_MODES[entry.mode]}", why="Only plain files are read from git."
        )


def checked_path(path: str) -> str:
    """Return `path` when it is a plain relative path inside a repository.

    Raises:
        InvalidFileError: it is absolute, climbs, names git's own folder, or holds control characters.
    """
    parts = path.split("/")
    hostile = any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    if hostile or "\\" in path or re.search(r"[\x00-\x1f\x7f]", path):
        raise InvalidFileError(f"{path!r} is not a path inside the repository")
    return path
