"""Releases as this clone has them at hand: no registry's catalogue is asked, so that nobody waits for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import DigestMismatchError, NotFoundError, UnavailableError
from towpath_gitops.records.artifact import check_artifact
from towpath_gitops.records.base import short
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release

NOT_HERE = "its files are not in this clone's store"


@dataclass(frozen=True)
class AtHand:
    """A registry of which only files are asked; those that lie in this clone's store it need not even be asked for.

    With `only_here` those that do not lie there are not fetched, either.
    """

    registry: Registry
    only_here: bool = False

    def find(self, model: str, selector: str) -> Release:
        """Return nothing.

        Raises:
            UnavailableError: always; whoever can do without the registry does.
        """
        raise UnavailableError(f"The registry is not asked for {model} {short(selector)} now")

    def fetch(self, release: Release, store: Path) -> Path:
        """Return the folder of the release's artifact below `store`, its digest checked.

        Raises:
            NotFoundError, DigestMismatchError, UnavailableError: it is not there, and cannot or may not be fetched.
        """
        if not self.only_here:
            return self.registry.fetch(release, store)
        folder = store / release.artifact.removeprefix("sha256:")
        try:
            if folder.is_dir():
                check_artifact(folder, release.artifact)
                return folder
        except (DigestMismatchError, OSError):  # damaged, or replaced while it was read
            pass
        raise NotFoundError(NOT_HERE)

    def evidence(self, release: Release) -> Mapping[Kind, Evidence]:
        """Return the evidence that was published for a release, by kind."""
        return self.registry.evidence(release)

    def images(self, release: Release) -> Sequence[ImageRecord]:
        """Return the records of the images that carry a release, newest first."""
        return self.registry.images(release)

    def signature(self, release: Release) -> bytes | None:
        """Return the signature that was published for a release, or None."""
        return self.registry.signature(release)
