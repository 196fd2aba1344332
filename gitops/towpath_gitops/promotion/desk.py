"""What lies on the desk of whoever proposes or reviews: the repository, its forge, the releases, their history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from towpath_gitops.forges.base import Forge
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository


class ReleaseStore(Protocol):
    """Where releases are registered; fulfilled by `delivery.registry.Registry`."""

    def find(self, model: str, selector: str) -> Release:
        """Return the release that a version, semantic version or id names; NotFoundError without it."""
        ...

    def fetch(self, release: Release, store: Path) -> Path:
        """Return the folder of the release's artifact below `store`, its digest checked."""
        ...

    def evidence(self, release: Release) -> Mapping[Kind, Evidence]:
        """Return the evidence that was published for a release, by kind."""
        ...

    def signature(self, release: Release) -> bytes | None:
        """Return the signature that was published for a release, or None."""
        ...

    def images(self, release: Release) -> Sequence[ImageRecord]:
        """Return the records of the images that carry a release, newest first."""
        ...


class Testimony(Protocol):
    """One line of the history: a release was applied, verified or passed over."""

    @property
    def release(self) -> str:
        """The id of the release that it speaks of."""
        ...

    @property
    def commit(self) -> str:
        """The commit of main that declared the release."""
        ...

    @property
    def verdict(self) -> Verdict | None:
        """What the verification said; None when it was none."""
        ...

    @property
    def time(self) -> datetime:
        """When it was written down."""
        ...


class History(Protocol):
    """What ran where and how it fared; fulfilled by `delivery.ledger.Ledger`."""

    def entries(self, environment: str, model: str | None = None) -> Sequence[Testimony]:
        """Return all that is known of an environment, oldest first."""
        ...

    def verified(self, environment: str, model: str) -> Sequence[Testimony]:
        """Return the latest verification of each release where it is green, newest first."""
        ...

    def last_verified(self, environment: str, model: str, release: str) -> Testimony | None:
        """Return the latest verification of a release in an environment, whatever it said."""
        ...

    def healthy_since(self, environment: str, model: str, release: str) -> datetime | None:
        """Return since when the release serves there with green verifications only; None when it does not."""
        ...


@dataclass(frozen=True)
class Desk:
    """Everything that a proposal or a review reads."""

    repository: Repository
    forge: Forge
    store: ReleaseStore
    history: History
