"""A release of this repository becomes a Bento, from the commit that is checked out and the lock file in it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from towpath_bento.package import PackagedBento


def packaged(workspace: Workspace, release: Release, into: Path | None = None) -> "PackagedBento":
    """Return the Bento of a release, built into the folder `into` (by default .towpath/bentos).

    Raises:
        NotFoundError: the commit holds no service.
        DigestMismatchError, DeliveryError, MissingDependencyError: as `towpath_bento.package.package`.
    """
    from towpath_bento.package import package  # noqa: PLC0415 (only verbs that package need it)

    repository = workspace.repository
    head = repository.head()
    with TemporaryDirectory(prefix="towpath-") as folder:
        code, lock = Path(folder, "code"), Path(folder, layout.LOCK)
        artifact = fetch_reviewed(workspace.registry, repository, release)
        repository.export(head, "bento", code)
        locked = repository.read(head, layout.LOCK)
        if locked is not None:
            lock.write_text(locked, encoding="utf-8")
        place = into or layout.state(workspace.root, "bentos")
        return package(release, artifact, code, place, lock if locked is not None else None)


def told_of_hashes(unvouched: tuple[str, ...], count: int) -> str:
    """Say of how many libraries the lock file knows a hash, and of which not."""
    if not unvouched:
        return f"all {count} pinned by hashes of {layout.LOCK}"
    return f"{len(unvouched)} of {count} without a hash in {layout.LOCK}: {', '.join(unvouched)}"
