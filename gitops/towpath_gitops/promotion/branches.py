"""The names of the branches that proposals live on; they tell what is proposed where."""

from typing import NamedTuple

from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import ChangeType

PREFIX = "towpath"


class Place(NamedTuple):
    """What a proposal's branch is about."""

    type: str
    environment: str
    model: str


def branch_of(change: ChangeType, environment: str, model: str, release: str) -> str:
    """Return the branch on which `release` (an id) is proposed."""
    return "/".join((PREFIX, change, environment, model, short(release)))


def place_of(branch: str) -> Place | None:
    """Return what a branch proposes, or None when it is no proposal's."""
    parts = branch.split("/")
    return Place(*parts[1:4]) if len(parts) == 5 and parts[0] == PREFIX else None  # noqa: PLR2004 (as written above)
