"""Questions to main's history that cost what has happened since, not what has ever happened.

History is main's first-parent line: what was merged, in the order in which it was. Whatever else a merge brought along
is reachable, but was never main.
"""

from collections.abc import Collection, Sequence
from typing import Final

from towpath_gitops.repository import Repository

_MARK: Final = "\x02"  # before each commit in git's answer


def follows(repository: Repository, old: str, new: str) -> bool:
    """Return whether the commit `new` is `old`, or descends from it along first parents only.

    The commits between the two are read, and nothing before `old`.
    """
    listed = repository.git.attempt("rev-list", "--first-parent", "--parents", new, f"^{old}", "--")
    lines = listed.stdout.decode().splitlines()
    if listed.returncode or not lines:
        return listed.returncode == 0 and old == new
    oldest = lines[-1].split(" ")
    return oldest[1:2] == [old]


def line_of(repository: Repository, commit: str) -> dict[str, int]:
    """Return the whole line that ends in `commit`: commit → how many are newer; for thousands of questions at once."""
    listed = repository.git.text("rev-list", "--first-parent", commit, "--").split()
    return {sha: number for number, sha in enumerate(listed)}


def newest_change(repository: Repository, commit: str, places: Sequence[str]) -> str | None:
    """Return the newest commit of the line that ends in `commit` that changed one of `places`, or None."""
    found = repository.git.text("rev-list", "--first-parent", "--max-count=1", commit, "--", *places)
    return found or None


def newest_changes(repository: Repository, commit: str, places: Collection[str]) -> dict[str, str]:
    """Return place → newest commit of the line that ends in `commit` that changed it, for many files and folders.

    A folder was changed when any file in it was. The line is read once, whatever the number of places.
    """
    # Without -z git writes a path that holds control characters in quotes: none can pass for a mark.
    options = ("--first-parent", "-m", "--name-only", "--no-renames", f"--format={_MARK}%H")
    wanted, found, sha = set(places), dict[str, str](), ""
    folders = {place for place in places if "/" not in place}
    for line in repository.git.text("log", *options, commit, "--").split("\n"):
        if line.startswith(_MARK):
            sha = line[1:]
        elif line in wanted:
            found.setdefault(line, sha)
        elif line.partition("/")[0] in folders:
            found.setdefault(line.partition("/")[0], sha)
    return found
