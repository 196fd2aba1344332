"""The files of commits, as git tells them: immutable, and suspicious until checked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from towpath_gitops.errors import InvalidFileError, NotFoundError, UncleanRepositoryError
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


def tree_of(root: Path, commit: str, folder: str) -> str:
    """Return the hash of a folder's tree in a commit.

    Raises:
        NotFoundError: the commit is not in this clone, or the folder not in the commit.
    """
    exact = re.fullmatch(r"[0-9a-f]{40}", commit)  # a name may mean another commit the next time
    return _tree_of(root, commit, folder) if exact else _tree_of.__wrapped__(root, commit, folder)


@lru_cache(maxsize=512)
def _tree_of(root: Path, commit: str, folder: str) -> str:
    result = Git(root).attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{folder}")
    if result.returncode:
        raise NotFoundError(f"There is no folder {folder} in commit {commit[:12]}")
    return result.stdout.decode().strip()


@lru_cache(maxsize=512)
def content_of(root: Path, blob: str) -> bytes:
    """Return the bytes of a blob."""
    return Git(root).run("cat-file", "blob", blob)


def contents_of(root: Path, blobs: Iterable[str]) -> dict[str, bytes]:
    """Return blob → bytes of any number of blobs, read by one git.

    Raises:
        UncleanRepositoryError: one is not in this clone.
    """
    wanted = list(dict.fromkeys(blobs))
    data = Git(root).run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in wanted).encode())
    found: dict[str, bytes] = {}
    start = 0
    for blob in wanted:
        end = data.index(b"\n", start)
        words = data[start:end].split(b" ")
        if len(words) != len(("hash", "kind", "size")):
            raise UncleanRepositoryError(f"Object {blob} is not in this clone", hint="git fetch")
        start, size = end + 1, int(words[2])
        found[blob] = data[start : start + size]
        start += size + 1
    return found


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
