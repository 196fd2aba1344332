"""Every change that can be proposed, one function each: look at main, edit what it declares, publish the draft."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import change, declared
from towpath_gitops.promotion.branches import branch_of
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.draft import Draft
from towpath_gitops.promotion.publishing import publish
from towpath_gitops.promotion.safety import rollback_target
from towpath_gitops.promotion.signatures import signature_at
from towpath_gitops.records.deployment import ChangeType, Deployment, Mode, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, bundle_digest
from towpath_gitops.records.image import newest
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release


def propose_promotion(  # noqa: PLR0913 (keywords, each with its own default or meaning)
    desk: Desk,
    *,
    environment: str,
    release: Release,
    reason: str,
    hotfix: bool = False,
    image: str | None = None,
    now: datetime | None = None,
) -> Pull:
    """Propose that `environment` serves `release`, with the evidence that the registry holds for it.

    The image that carries it is the newest on record beside the release; `image` names another place or another one.

    What the evidence lacks does not stop the proposal: its decision document says so and review refuses it. An open
    proposal of the same change is adopted, older ones for the same environment and model are closed with a link. A
    hotfix goes around the environments before, by the lane that `policy.hotfix` opens.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: it declares the release already.
        ConflictError: somebody else moves the same branch at this moment.
        UnavailableError: the registry or the remote does not answer.
    """
    table = _Table.of(desk, environment, release.model, now)
    evidence = table.evidence(release)
    bundle = bundle_digest(evidence.values())
    carried = image or newest(desk.store.images(release))
    after = change.promote(table.before, release, reason, bundle, image=carried, hotfix=hotfix)
    return table.propose(after, release, evidence, table.signature(release))


def propose_rollback(  # noqa: PLR0913 (as above)
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
    table = _Table.of(desk, environment, model, now)
    if table.before.release is None:
        raise RefusedError(f"Nothing runs in {environment} yet that could be rolled back")
    target = to or rollback_target(desk, table.before)
    since = table.held_since(ChangeType.ROLLBACK, target)
    after = change.rollback(
        table.before, target, reason, desk.repository.identity(), since, image=table.earlier_image(target)
    )
    return table.propose(after, target, signature=signature_at(desk.repository, table.main, target))


def propose_repackage(  # noqa: PLR0913 (as above)
    desk: Desk, *, environment: str, model: str, image: str, reason: str, now: datetime | None = None
) -> Pull:
    """Propose that `image` carries the release that `environment` declares already.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: nothing is declared, or it is carried by this image already.
        ConflictError, UnavailableError: as `propose_promotion`.
    """
    table = _Table.of(desk, environment, model, now)
    after = change.repackage(table.before, image, reason)
    return table.propose(after, after.release.release(model) if after.release else None)


def propose_hold(desk: Desk, *, environment: str, release: Release, reason: str, now: datetime | None = None) -> Pull:
    """Propose that nothing brings `release` into `environment` until the hold is lifted.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: it is blocked already, or serves.
        ConflictError, UnavailableError: as `propose_promotion`.
    """
    table = _Table.of(desk, environment, release.model, now)
    since = table.held_since(ChangeType.HOLD, release)
    return table.propose(change.hold(table.before, release, reason, desk.repository.identity(), since), release)


def propose_unhold(desk: Desk, *, environment: str, release: Release, reason: str, now: datetime | None = None) -> Pull:
    """Propose that `release` may come into `environment` again; promoting it is another change.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: it is not blocked.
        ConflictError, UnavailableError: as `propose_promotion`.
    """
    table = _Table.of(desk, environment, release.model, now)
    return table.propose(change.unhold(table.before, release, reason), release)


def propose_experiment(  # noqa: PLR0913 (as above)
    desk: Desk,
    *,
    environment: str,
    challenger: Release,
    mode: Mode,
    share: float,
    reason: str,
    image: str | None = None,
    now: datetime | None = None,
) -> Pull:
    """Propose that `challenger` serves beside the champion of `environment`, with the evidence for it.

    The image that carries it is chosen as by `propose_promotion`.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: nothing is declared there, or the challenger is.
        InvalidFileError: the share is not between 0 and 1, or the image is not pinned by digest.
        ConflictError, UnavailableError: as `propose_promotion`.
    """
    table = _Table.of(desk, environment, challenger.model, now)
    evidence = table.evidence(challenger)
    bundle = bundle_digest(evidence.values())
    carried = image or newest(desk.store.images(challenger))
    after = change.experiment(
        table.before, challenger, mode=mode, share=share, reason=reason, evidence=bundle, image=carried
    )
    return table.propose(after, challenger, evidence, table.signature(challenger))


def propose_experiment_stop(
    desk: Desk, *, environment: str, model: str, reason: str, now: datetime | None = None
) -> Pull:
    """Propose that the champion of `environment` serves alone again.

    Raises:
        NotFoundError: the environment is unknown.
        RefusedError: there is no experiment.
        ConflictError, UnavailableError: as `propose_promotion`.
    """
    table = _Table.of(desk, environment, model, now)
    after = change.stop_experiment(table.before, reason)
    return table.propose(after, change.subject(table.before, after))


@dataclass(frozen=True)
class _Table:
    """What whoever proposes looks at: main as it is now, its policy, and what it declares for the place."""

    desk: Desk
    main: str
    policy: Policy
    before: Deployment
    now: datetime

    @classmethod
    def of(cls, desk: Desk, environment: str, model: str, now: datetime | None) -> "_Table":
        desk.repository.fetch()
        main = desk.repository.main()
        policy = declared.policy(desk.repository, main)
        if policy.environment(environment) is None:
            known = ", ".join(known.name for known in policy.environments)
            raise NotFoundError(f"There is no environment called “{environment}”", why=f"{layout.POLICY} has {known}.")
        before = declared.deployment(desk.repository, main, environment, model)
        return cls(desk, main, policy, before, now or datetime.now(UTC))

    def evidence(self, release: Release) -> Mapping[Kind, Evidence]:
        """Return the evidence for a release: what main holds, renewed by what the registry holds."""
        return declared.evidence(self.desk.repository, self.main, release.id) | dict(self.desk.store.evidence(release))

    def signature(self, release: Release) -> bytes | None:
        return self.desk.store.signature(release) or signature_at(self.desk.repository, self.main, release)

    def earlier_image(self, release: Release) -> str | None:
        """Return the image that carried a release when main last declared it here: the way back asks no registry."""
        path = layout.environment_path(self.before.environment, self.before.model)
        for commit in self.desk.repository.log(self.main, path=path):
            text = self.desk.repository.read(commit.sha, path)
            try:
                pinned = parse_deployment(text, source=path).release if text else None
            except InvalidFileError:  # an older or broken declaration cannot be gone by
                continue
            if pinned and pinned.id == release.id:
                return pinned.image
        return None

    def held_since(self, kind: ChangeType, release: Release) -> datetime:
        """Return since when an open proposal of the same kind holds, or now: repeated, it must not become another."""
        environment, model = self.before.environment, self.before.model
        tip = self.desk.repository.tip(f"refs/heads/{branch_of(kind, environment, model, release.id)}")
        path = layout.environment_path(environment, model)
        text = self.desk.repository.read(tip, path) if tip else None
        try:
            hold = parse_deployment(text, source=path).hold if text else None
        except InvalidFileError:  # somebody wrote to the branch; it will be replaced
            return self.now
        return hold.since if hold else self.now

    def propose(
        self,
        after: Deployment,
        release: Release | None,
        evidence: Mapping[Kind, Evidence] | None = None,
        signature: bytes | None = None,
    ) -> Pull:
        if release is None:  # pragma: no cover (every change is about a release)
            raise AssertionError
        draft = Draft(
            main=self.main,
            policy=self.policy,
            before=self.before,
            after=after,
            release=release,
            now=self.now,
            evidence=evidence or {},
            signature=signature,
        )
        return publish(self.desk, draft)
