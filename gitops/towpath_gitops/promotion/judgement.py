"""Why a change may not be made as things stand: the same question for whoever proposes it and whoever reviews it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from towpath_gitops.promotion import declared
from towpath_gitops.promotion.change import Lane, pinned, subject
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.eligibility import Case, Upstream, eligible, swap
from towpath_gitops.promotion.requirement import Reason, Standing
from towpath_gitops.promotion.safety import incompatible, unsafe
from towpath_gitops.records.deployment import ChangeType, Deployment
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.policy import HotfixLane, Policy
from towpath_gitops.records.release import Release


@dataclass(frozen=True)
class Docket:
    """A change that is judged, and all that it is judged by."""

    desk: Desk
    main: str
    before: Deployment
    after: Deployment
    evidence: Mapping[Kind, Evidence]
    now: datetime

    @property
    def release(self) -> Release:
        """The release that the change is about."""
        release = subject(self.before, self.after)
        if release is None:
            message = "a deployment without a release changes nothing"
            raise ValueError(message)
        return release

    @property
    def image(self) -> str | None:
        """The image that would carry it; None where there is none."""
        about = pinned(self.before, self.after)
        return about.image if about else None

    @property
    def replaces(self) -> str | None:
        """The release that the change says it replaces."""
        return self.after.change.replaces if self.after.change else None


def objections(  # noqa: PLR0913 (the facts are few, and none follows from another)
    desk: Desk, main: str, before: Deployment, after: Deployment, *, evidence: Mapping[Kind, Evidence], now: datetime
) -> tuple[Reason, ...]:
    """Return why what main declares as `before` may not become `after`; empty when it may.

    What leads back has its own lane: no evidence, no soak and no freeze, but a rollback needs a release that is known
    to work there.

    Raises:
        UnavailableError: the registry does not answer.
        InvalidFileError, NotFoundError: main's policy or model.yaml is broken or missing.
        ValueError: `after` declares nothing.
    """
    if after.change is None or after.declared is None:
        message = "a deployment without a release changes nothing"
        raise ValueError(message)
    return tuple(_JUDGES[after.change.type](Docket(desk, main, before, after, evidence, now)))


def case_of(  # noqa: PLR0913 (as above)
    desk: Desk,
    main: str,
    before: Deployment,
    release: Release,
    *,
    change: ChangeType,
    replaces: str | None,
    evidence: Mapping[Kind, Evidence],
    now: datetime,
    image: str | None = None,
) -> Case:
    """Return all that the eligibility of `release`, in `image`, for what main declares as `before` depends on.

    Raises:
        InvalidFileError, NotFoundError: main's policy or model.yaml is broken or missing.
    """
    policy = declared.policy(desk.repository, main)
    return Case(
        policy=policy,
        deployment=before,
        release=release,
        replaces=replaces,
        evidence=evidence,
        gates=declared.gates(desk.repository, main),
        champion=declared.champion(desk.repository, main, before.model),
        upstream=_upstream(desk, policy, before.environment, release),
        now=now,
        change=change,
        image=image,
        images=desk.store.images(release),
        merged=desk.repository.is_ancestor(release.code, main),
    )


def approvals_needed(policy: Policy, environment: str, lane: Lane) -> int:
    """Return how many approvals the policy asks of a change that takes a lane into an environment.

    A hotfix never needs fewer than a promotion, nor fewer than two, be there a lane for it or not.
    """
    if lane is Lane.BACK:
        return policy.rollback.approvals
    demands = policy.environment(environment)
    forward = demands.approvals if demands else 1
    return max(forward, (policy.hotfix or HotfixLane()).approvals) if lane is Lane.HOTFIX else forward


# --- one judge for each type of change ----------------------------------------------------------------------------


def _forward(docket: Docket) -> Iterable[Reason]:
    change = docket.after.change
    assert change is not None  # noqa: S101 (narrows the type: `objections` looked)
    return eligible(
        case_of(
            docket.desk,
            docket.main,
            docket.before,
            docket.release,
            change=change.type,
            replaces=docket.replaces,
            evidence=docket.evidence,
            now=docket.now,
            image=docket.image,
        )
    )


def _repackage(docket: Docket) -> Iterable[Reason]:
    """The registry's own evidence counts: a change of the image alone brings none, and main's is of another image."""
    recorded = docket.desk.store.evidence(docket.release)
    return _forward(replace(docket, evidence={**docket.evidence, **recorded}))


def _back(docket: Docket) -> Iterable[Reason]:
    return (*_swapped(docket), *unsafe(docket.desk, docket.before, docket.release))


def _swapped(docket: Docket) -> Iterable[Reason]:
    line = swap(docket.before, docket.replaces)
    return () if line.standing is Standing.MET else (line.reason,)


def _experiment(docket: Docket) -> Iterable[Reason]:
    """A challenger gets real requests: it must be as eligible as a promotion, and take what callers send already."""
    if docket.after.experiment is None:
        return _swapped(docket)
    return (*_forward(docket), *incompatible(docket.desk, docket.before, docket.release))


_JUDGES: Final[Mapping[ChangeType, Callable[[Docket], Iterable[Reason]]]] = {
    ChangeType.PROMOTE: _forward,
    ChangeType.HOTFIX: _forward,
    ChangeType.REPACKAGE: _repackage,
    ChangeType.EXPERIMENT: _experiment,
    ChangeType.ROLLBACK: _back,
    ChangeType.HOLD: _swapped,
}


def _upstream(desk: Desk, policy: Policy, environment: str, release: Release) -> Upstream:
    before = policy.upstream(environment) if policy.environment(environment) else None
    if before is None:
        return Upstream(None, None)
    latest = desk.history.last_verified(before.name, release.model, release.id)
    since = desk.history.healthy_since(before.name, release.model, release.id)
    return Upstream(latest.verdict if latest else None, since)
