"""Why a change may not be made as things stand: the same question for whoever proposes it and whoever reviews it."""

from collections.abc import Mapping
from datetime import datetime

from towpath_gitops.promotion import declared
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.eligibility import Case, Reason, Upstream, eligible, swap
from towpath_gitops.promotion.safety import unsafe
from towpath_gitops.records.deployment import ChangeType, Deployment
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release


def objections(  # noqa: PLR0913 (the facts are few, and none follows from another)
    desk: Desk, main: str, before: Deployment, after: Deployment, *, evidence: Mapping[Kind, Evidence], now: datetime
) -> tuple[Reason, ...]:
    """Return why what main declares as `before` may not become `after`; empty when it may.

    A rollback has its own lane: no evidence and no soak, but a release that is known to work there.

    Raises:
        UnavailableError: the registry does not answer.
        InvalidFileError, NotFoundError: main's policy or model.yaml is broken or missing.
        ValueError: `after` declares nothing.
    """
    release, change = after.declared, after.change
    if release is None or change is None:
        message = "a deployment without a release changes nothing"
        raise ValueError(message)
    if change.type is ChangeType.ROLLBACK:
        return (*swap(before, change.replaces), *unsafe(desk, before, release))
    policy = declared.policy(desk.repository, main)
    case = Case(
        policy=policy,
        deployment=before,
        release=release,
        replaces=change.replaces,
        evidence=evidence,
        gates=declared.gates(desk.repository, main),
        champion=declared.champion(desk.repository, main, before.model),
        upstream=_upstream(desk, policy, before.environment, release),
        now=now,
    )
    return eligible(case)


def approvals_needed(policy: Policy, environment: str, change: ChangeType) -> int:
    """Return how many approvals the policy asks of a change."""
    if change is ChangeType.ROLLBACK:
        return policy.rollback.approvals
    demands = policy.environment(environment)
    return demands.approvals if demands else 1


def _upstream(desk: Desk, policy: Policy, environment: str, release: Release) -> Upstream:
    before = policy.upstream(environment) if policy.environment(environment) else None
    if before is None:
        return Upstream(None, None)
    latest = desk.history.last_verified(before.name, release.model, release.id)
    since = desk.history.healthy_since(before.name, release.model, release.id)
    return Upstream(latest.verdict if latest else None, since)
