"""A change before it is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from towpath_gitops.promotion import headlines
from towpath_gitops.promotion.branches import branch_of
from towpath_gitops.promotion.change import Lane, brings, lane
from towpath_gitops.records.deployment import Change, Deployment
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What would change, and what is known when it is proposed."""

    main: str
    policy: Policy
    before: Deployment
    after: Deployment
    release: Release  # that the change is about
    now: datetime
    evidence: Mapping[Kind, Evidence]
    signature: bytes | None = None

    @property
    def change(self) -> Change:
        """What `after` says of the change."""
        if self.after.change is None:  # pragma: no cover (change.py always writes one)
            raise AssertionError
        return self.after.change

    @property
    def title(self) -> str:
        """The title of its pull request."""
        return headlines.title(self.before, self.after)

    @property
    def brings(self) -> bool:
        """Whether it brings a release into service for reasons of its own: then it shows evidence of it."""
        return brings(self.after)

    @property
    def branch(self) -> str:
        """The branch that it is proposed on."""
        return branch_of(self.change.type, self.after.environment, self.after.model, self.release.id)

    @property
    def lane(self) -> Lane:
        """Which way it takes."""
        return lane(self.before, self.after)
