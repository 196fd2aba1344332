"""Line by line, what the policy asks before a release may enter an environment, and how each requirement stands.

The lines are those by which review judges, so that what is explained and what is refused cannot differ.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.approvals import owners
from towpath_gitops.promotion.branches import Place, place_of
from towpath_gitops.promotion.change import Lane
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.eligibility import Case, eligible_from, requirements
from towpath_gitops.promotion.judgement import approvals_needed, case_of
from towpath_gitops.promotion.requirement import Requirement, Standing, met, missing
from towpath_gitops.promotion.rivals import ahead
from towpath_gitops.promotion.signatures import signature_at, unsigned
from towpath_gitops.promotion.wording import count
from towpath_gitops.records.base import Line, Name, Record
from towpath_gitops.records.deployment import ChangeType, Deployment, PinnedRelease
from towpath_gitops.records.image import newest
from towpath_gitops.records.release import Release


class Explanation(Record):
    """What stands between a release and an environment, at a moment."""

    environment: Name
    release: Line
    change: ChangeType
    now: AwareDatetime
    requirements: tuple[Requirement, ...]
    eligible_at: AwareDatetime | None = Field(
        description="the first moment at which it may be proposed and merged if only time passes; null: not by waiting"
    )
    pull: int | None = Field(description="number of the open proposal of this very change")

    @property
    def eligible(self) -> bool:
        """Whether nothing but approvals is missing now."""
        return self.eligible_at is not None and self.eligible_at <= self.now


def explain(
    desk: Desk, environment: str, release: Release, *, hotfix: bool = False, now: datetime | None = None
) -> Explanation:
    """Return every requirement of promoting `release` to `environment`, by main, the registry and the ledger of now.

    Raises:
        NotFoundError: the policy has no such environment, or main no file for it.
        RefusedError: the forge does not tell who wrote the open proposal of it.
        UnavailableError: the registry does not answer.
    """
    now = now or datetime.now(UTC)
    desk.repository.fetch()
    main = desk.repository.main()
    _require_known(desk, main, environment)
    before = declared.deployment(desk.repository, main, environment, release.model)
    case = case_of(
        desk,
        main,
        before,
        release,
        change=ChangeType.HOTFIX if hotfix else ChangeType.PROMOTE,
        replaces=before.release.id if before.release else None,
        evidence=declared.evidence(desk.repository, main, release.id) | dict(desk.store.evidence(release)),
        now=now,
        image=newest(desk.store.images(release)),
    )
    pull = _proposal(desk, case.change, environment, release)
    lines = [*requirements(case), *_vouched(desk, main, before, release), *_others(desk, case, pull)]
    lines.append(_approvals(desk, main, case, pull))
    stuck = any(line.standing is Standing.MISSING for line in lines)
    return Explanation(
        environment=environment,
        release=str(release),
        change=case.change,
        now=now,
        requirements=tuple(lines),
        eligible_at=None if stuck else eligible_from(case),
        pull=pull.number if pull else None,
    )


def _require_known(desk: Desk, main: str, environment: str) -> None:
    policy = declared.policy(desk.repository, main)
    if policy.environment(environment) is None:
        known = ", ".join(each.name for each in policy.environments)
        raise NotFoundError(f"There is no environment called “{environment}”", why=f"{layout.POLICY} has {known}.")


def _vouched(desk: Desk, main: str, before: Deployment, release: Release) -> Iterator[Requirement]:
    """Say whether the release is signed as the policy asks; nothing where it does not ask."""
    signature = desk.store.signature(release) or signature_at(desk.repository, main, release)
    after = before.model_copy(update={"release": PinnedRelease.of(release), "experiment": None})
    reasons = tuple(unsigned(desk.repository, main, after, lambda _: signature))
    if not reasons and declared.policy(desk.repository, main).signing:
        yield met("signing", "It is signed as the policy asks")
    yield from (missing(reason.rule, reason.what, reason.mend) for reason in reasons)


def _others(desk: Desk, case: Case, pull: Pull | None) -> Iterator[Requirement]:
    place = Place(case.change, case.deployment.environment, case.release.model)
    for reason in ahead(desk, place, number=pull.number if pull else None):
        yield missing(reason.rule, reason.what, reason.mend)


def _approvals(desk: Desk, main: str, case: Case, pull: Pull | None) -> Requirement:
    """Say how many approvals the pull request needs, and whether there are so many who could give them.

    Before it is open nobody has written it, so that every owner could.
    """
    environment = case.deployment.environment
    lane = Lane.HOTFIX if case.change is ChangeType.HOTFIX else Lane.FORWARD
    needed = approvals_needed(case.policy, environment, lane)
    path = layout.environment_path(environment, case.release.model)
    could = owners(desk, main, path) - (desk.forge.writers(pull) if pull else frozenset())
    able = ", ".join(sorted(could))
    what = f"The pull request needs {count(needed, 'approval')} by owners of {path} who did not write it"
    if len(could) >= needed:
        return met("approvals", f"{what}{f': {able}' if able else ''}")
    known = f"only {able}" if able else "nobody"
    return missing("approvals", f"{what}; {layout.CODEOWNERS} on main names {known} who could", "Add owners there.")


def _proposal(desk: Desk, change: ChangeType, environment: str, release: Release) -> Pull | None:
    """Return the open pull request of this very change."""
    for pull in desk.forge.list(State.OPEN):
        place = place_of(pull.branch)
        if place == (change, environment, release.model) and pull.branch.endswith(f"/{release.short_id}"):
            return pull
    return None
