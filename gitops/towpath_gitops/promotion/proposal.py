"""A change becomes a branch, a decision document and a pull request; proposed twice it is still one.

Every step looks before it acts and states what it expects to replace, so that a proposal that was interrupted anywhere
is finished by running it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion import change, declared
from towpath_gitops.promotion.branches import branch_of, place_of
from towpath_gitops.promotion.decision import decide, markdown, title
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.judgement import approvals_needed, objections
from towpath_gitops.promotion.safety import rollback_target, unsafe
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, edited, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, bundle_digest
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release


@dataclass(frozen=True)
class _Draft:
    """A change before it is published."""

    main: str
    policy: Policy
    before: Deployment
    after: Deployment
    release: Release
    evidence: Mapping[Kind, Evidence]
    now: datetime

    @property
    def change(self) -> Change:
        if self.after.change is None:  # pragma: no cover (change.py always writes one)
            raise AssertionError
        return self.after.change

    @property
    def branch(self) -> str:
        return branch_of(self.change.type, self.after.environment, self.after.model, self.release.id)


def propose_promotion(
    desk: Desk, *, environment: str, release: Release, reason: str, now: datetime | None = None
) -> Pull:
    """Propose that `environment` serves `release`, with the evidence that the registry holds for it.

    What the evidence lacks does not stop the proposal: its decision document says so and review refuses it. An open
    proposal of the same change is adopted, older ones for the same environment and model are closed with a link.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: it declares the release already.
        ConflictError: somebody else moves the same branch at this moment.
        UnavailableError: the registry or the remote does not answer.
    """
    repository = desk.repository
    repository.fetch()
    main = repository.main()
    policy = _policy(desk, main, environment)
    before = declared.deployment(repository, main, environment, release.model)
    evidence = declared.evidence(repository, main, release.id) | dict(desk.store.evidence(release))
    after = change.promote(before, release, reason, bundle_digest(evidence.values()))
    draft = _Draft(main, policy, before, after, release, evidence, now or datetime.now(UTC))
    return _publish(desk, draft)


def propose_rollback(  # noqa: PLR0913 (keywords, each with its own default or meaning)
    desk: Desk, *, environment: str, model: str, reason: str, to: Release | None = None, now: datetime | None = None
) -> Pull:
    """Propose that `environment` goes back to `to` and blocks the release that it leaves.

    By default `to` is the release that was verified there last, before the current one, and is safe to return to.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: no release can safely be gone back to; says for each why not.
        ConflictError: somebody else moves the same branch at this moment.
        UnavailableError: the registry or the remote does not answer.
    """
    repository = desk.repository
    repository.fetch()
    main = repository.main()
    policy = _policy(desk, main, environment)
    before = declared.deployment(repository, main, environment, model)
    if before.release is None:
        raise RefusedError(f"Nothing runs in {environment} yet that could be rolled back")
    now = now or datetime.now(UTC)
    target = to or rollback_target(desk, before)
    since = _earlier_hold(desk, branch_of(ChangeType.ROLLBACK, environment, model, target.id), environment, model)
    after = change.rollback(before, target, reason, repository.identity(), since or now)
    return _publish(desk, _Draft(main, policy, before, after, target, {}, now))


def _policy(desk: Desk, main: str, environment: str) -> Policy:
    policy = declared.policy(desk.repository, main)
    if policy.environment(environment) is None:
        known = ", ".join(known.name for known in policy.environments)
        raise NotFoundError(f"There is no environment called “{environment}”", why=f"{layout.POLICY} has {known}.")
    return policy


def _earlier_hold(desk: Desk, branch: str, environment: str, model: str) -> datetime | None:
    """Return since when an open rollback of the same kind holds: repeated, it must not become another commit."""
    tip = desk.repository.tip(f"refs/heads/{branch}")
    path = layout.environment_path(environment, model)
    text = desk.repository.read(tip, path) if tip else None
    try:
        hold = parse_deployment(text, source=path).hold if text else None
    except InvalidFileError:  # somebody wrote to the branch; it will be replaced
        return None
    return hold.since if hold else None


def _publish(desk: Desk, draft: _Draft) -> Pull:
    """Push the branch, open or adopt its pull request, close those that it supersedes; in this order."""
    repository = desk.repository
    decision = decide(
        draft.before,
        draft.after,
        evidence=draft.evidence,
        demanded=_demanded(draft),
        reasons=objections(desk, draft.main, draft.before, draft.after, evidence=draft.evidence, now=draft.now),
        rollback_target=_way_back(desk, draft),
        approvals=approvals_needed(draft.policy, draft.after.environment, draft.change.type),
    )
    name = title(decision)
    message = f"{name}\n\n{draft.change.reason}\n\nTowpath-Release: {draft.release.id}\n"
    commit = repository.commit([draft.main], draft.main, _edits(desk, draft), message)
    ref = f"refs/heads/{draft.branch}"
    tip = repository.tip(ref)
    if tip is None or not _merges_alike(desk, draft.main, tip, commit):
        repository.push(commit, ref, tip)
    data = decision.model_dump_json(by_alias=True, indent=2) + "\n"
    labels = (draft.change.type, draft.after.environment, draft.after.model)
    pull = desk.forge.open(branch=draft.branch, title=name, body=markdown(decision), data=data, labels=labels)
    _supersede(desk, pull)
    return pull


def _demanded(draft: _Draft) -> tuple[Kind, ...]:
    demands = draft.policy.environment(draft.after.environment)
    return tuple(demands.evidence) if demands and draft.change.type is ChangeType.PROMOTE else ()


def _edits(desk: Desk, draft: _Draft) -> dict[str, bytes | None]:
    environment, model = draft.after.environment, draft.after.model
    path = layout.environment_path(environment, model)
    text = declared.deployment_text(desk.repository, draft.main, environment, model)
    edits: dict[str, bytes | None] = {path: edited(text, draft.after, source=path).encode()}
    for kind, item in draft.evidence.items():
        content = item.model_dump_json(by_alias=True, indent=2) + "\n"
        edits[layout.evidence_path(draft.release.short_id, kind)] = content.encode()
    return edits


def _merges_alike(desk: Desk, main: str, tip: str, commit: str) -> bool:
    """Return whether merging what is proposed already gives the very files of `commit`: then its approvals stand."""
    repository = desk.repository
    try:
        merged = repository.merge(main, tip, "Compare")
    except (ConflictError, InvalidFileError):
        return False
    return repository.tree(merged) == repository.tree(commit)


def _supersede(desk: Desk, pull: Pull) -> None:
    place = place_of(pull.branch)
    for other in desk.forge.list(State.OPEN):
        if other.number != pull.number and place_of(other.branch) == place:
            desk.forge.close(other.number, f"Superseded by #{pull.number}: {pull.title}")


def _way_back(desk: Desk, draft: _Draft) -> str:
    """Say where a rollback of this change would lead; a proposal never fails because there is no way back yet."""
    if draft.change.type is ChangeType.ROLLBACK:
        return f"The release that it leaves, {short(draft.change.replaces or '')}, is blocked from coming back."
    before = draft.before.declared
    if before is None:
        return "It is the first release here: there is nothing to go back to."
    reasons = unsafe(desk, draft.after, before)
    if reasons:
        return "There is no safe way back to what serves now: " + " ".join(map(str, reasons))
    return f"towpath rollback --environment {draft.after.environment} leads back to {before}."
