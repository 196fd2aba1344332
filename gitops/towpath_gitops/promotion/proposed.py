"""What a pull request would do to main: read from the merge that it would make, never from the branch as it was."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.change import Lane, brings, lane, subject
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.deployment import Change, Deployment, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.release import Release

_ENVIRONMENT_FILE: Final = re.compile(rf"{layout.ENVIRONMENTS}/([a-z][a-z0-9_-]*)/([a-z][a-z0-9_-]*)\.yaml")
_AGAIN: Final = "Propose the change again."
_NOTHING_REMOVED: Final = "Nothing is removed by a proposal."
# Whoever looks needs no identity of their own, as on a machine that only checks: this commit is never pushed.
_REVIEWER: Final = ("Towpath", "review@towpath.invalid")


@dataclass(frozen=True)
class Proposed:
    """What the merge would do."""

    merged: str  # the commit that merging would make
    path: str
    before: Deployment
    after: Deployment
    release: Release  # that the change is about
    change: Change
    evidence: Mapping[Kind, Evidence]  # about that release
    changed: Sequence[str]
    removed: Sequence[str]

    @property
    def lane(self) -> Lane:
        """Which way it takes."""
        return lane(self.before, self.after)

    @property
    def brings(self) -> bool:
        """Whether it brings a release into service for reasons of its own: then it shows evidence of it."""
        return brings(self.after)


class UnfitError(Exception):
    """A pull request that is no proposal: carries the one reason, behind which no other can be looked for."""

    def __init__(self, rule: str, what: str, mend: str = "") -> None:
        """Say which rule objects, what is wrong, and what would mend it."""
        super().__init__(what)
        self.reason = Reason(rule=rule, what=what, mend=mend)


def read(desk: Desk, pull: Pull, main: str) -> Proposed:
    """Return what merging the pull request into the commit `main` would change.

    Raises:
        UnfitError: it is not open, conflicts with main, or does not edit exactly one environment file.
        InvalidFileError, NotFoundError: a file that it edits cannot be read, or is not on main.
    """
    repository = desk.repository
    if pull.state is not State.OPEN:
        raise UnfitError("state", f"The pull request is {pull.state}", _AGAIN)
    try:
        merged = repository.acting_as(*_REVIEWER).merge(main, pull.head, "Review")
    except ConflictError as error:
        raise UnfitError("conflict", f"Main has moved: {error.what} ({error.why})", _AGAIN) from error
    changed = repository.changed(main, merged)
    path, environment, model = _place(changed)
    text = repository.read(merged, path)
    if text is None:
        raise UnfitError("scope", f"It deletes {path}", _NOTHING_REMOVED)
    before = declared.deployment(repository, main, environment, model)
    after = declared.checked_place(parse_deployment(text, source=path), environment, model)
    release = subject(before, after) or after.declared
    if release is None or after.change is None:
        raise UnfitError("scope", f"{path} would declare no release", _NOTHING_REMOVED)
    return Proposed(
        merged=merged,
        path=path,
        before=before,
        after=after,
        release=release,
        change=after.change,
        evidence=declared.evidence(repository, merged, release.id),
        changed=changed,
        removed=[path for path in changed if repository.read_bytes(merged, path) is None],
    )


def _place(changed: Sequence[str]) -> tuple[str, str, str]:
    """Return the one environment file among the paths, and the environment and model that its place names."""
    places = [match for path in changed if (match := _ENVIRONMENT_FILE.fullmatch(path))]
    if len(places) != 1:
        found = ", ".join(match[0] for match in places) or "none"
        raise UnfitError("scope", f"A proposal edits exactly one environment file; this one edits {found}")
    return places[0][0], places[0][1], places[0][2]
