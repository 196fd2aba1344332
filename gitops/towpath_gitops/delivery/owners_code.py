"""Code of an owner's that a release carries is the code of its commit, byte for byte: git is where it was reviewed."""

from pathlib import Path
from typing import Protocol

from towpath_gitops import layout
from towpath_gitops.errors import DigestMismatchError, NotFoundError
from towpath_gitops.records.artifact import CODE
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

SRC = "src"


class Store(Protocol):
    """Where the files of releases come from: a registry, or this clone's store."""

    def fetch(self, release: Release, store: Path) -> Path:
        """Return the folder of the release's artifact below `store`, its digest checked."""
        ...


def fetch_reviewed(store: Store, repository: Repository, release: Release) -> Path:
    """Fetch the artifact of a release that is about to be opened, and compare the code in it with git.

    Raises:
        DigestMismatchError, NotFoundError, UnavailableError: as `Registry.fetch` and `check_code`.
    """
    folder = store.fetch(release, layout.store(repository.root).absolute())
    check_code(repository, release.code, folder)
    return folder


def check_code(repository: Repository, commit: str, folder: Path) -> None:
    """Compare each file of `folder`/code with the one below src/ of the commit that trained the release.

    Raises:
        DigestMismatchError: a file is another than in the commit, or is not in it. Nothing of it was run.
        NotFoundError: this clone does not have the commit.
    """
    carried = sorted(path for path in (folder / CODE).rglob("*") if not path.is_dir())
    if not carried:
        return
    if repository.resolve(commit) is None:
        raise NotFoundError(
            f"This clone has no commit {commit[:12]}",
            why=f"The code in {folder} must be compared with it before anything of it runs.",
            hint="Fetch the whole history: git fetch --unshallow",
        )
    for path in carried:
        place = f"{SRC}/{path.relative_to(folder / CODE).as_posix()}"
        if repository.read_bytes(commit, place) != path.read_bytes():
            raise DigestMismatchError(
                f"The release carries a {place} that is not the one of commit {commit[:12]}",
                why="What a model runs of its owner's must be what was reviewed in git.",
                hint="Nothing of it was run. Commit the file, and train again.",
            )
