"""The check on a pull request, and again at merge: may this very change enter main as main is now?

It judges what the merge would do to main, never what the branch looked like when it was made. What a proposal of its
type may write stands in `shape`, what it must meet in `judgement`, who must agree in `approvals`, and what goes first
in `rivals`.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

from pydantic import Field

from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion import approvals, declared, gallery
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.judgement import objections
from towpath_gitops.promotion.proposed import Proposed, UnfitError, read
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.promotion.rivals import close_stale, rivals
from towpath_gitops.promotion.shape import misshapen
from towpath_gitops.promotion.signatures import signature_at, unsigned
from towpath_gitops.records.base import Commit, Line, Record
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Kind
from towpath_gitops.repository import emails

_TRIES: Final = 3
_ELSEWHERE: Final = "Set MLFLOW_TRACKING_URI to the registry that holds it, or register it there: towpath train."


class Review(Record):
    """What review says about one head of one pull request, against one commit of main."""

    number: int
    title: Line
    head: Commit
    main: Commit
    reasons: tuple[Reason, ...]
    approved_by: tuple[Line, ...] = Field(default=(), description="those whose approval counted")

    @property
    def ok(self) -> bool:
        """Whether it may be merged."""
        return not self.reasons

    def __str__(self) -> str:
        """Say it to a person."""
        if self.ok:
            by = f", approved by {', '.join(self.approved_by)}" if self.approved_by else ""
            return f"#{self.number} {self.title}: may be merged{by}."
        lines = "\n".join(f"  - {reason.rule}: {reason}" for reason in self.reasons)
        return f"#{self.number} {self.title}: may not be merged:\n{lines}"


def review(desk: Desk, number: int, *, now: datetime | None = None) -> Review:
    """Return whether pull request `number` may be merged into main now, and every reason against it.

    Raises:
        NotFoundError: there is no such pull request.
        UnavailableError: the remote or the registry does not answer.
    """
    return _judge(desk, desk.forge.get(number), now)


def _judge(desk: Desk, pull: Pull, now: datetime | None) -> Review:
    main = desk.repository.main()
    approved_by: tuple[str, ...] = ()
    try:
        proposed = read(desk, pull, main)
        vote = approvals.count(desk, pull, main, proposed)
        approved_by = vote.counted
        reasons = [*_against(desk, main, pull, proposed, now or datetime.now(UTC)), *vote.reasons(pull.number)]
    except UnfitError as unfit:
        reasons = [unfit.reason]
    except (InvalidFileError, NotFoundError) as error:
        reasons = [Reason(rule="unreadable", what=" ".join(f"{error.what} {error.why}".split()), mend=error.hint)]
    return Review(
        number=pull.number, title=pull.title, head=pull.head, main=main, reasons=tuple(reasons), approved_by=approved_by
    )


def _against(desk: Desk, main: str, pull: Pull, proposed: Proposed, now: datetime) -> Iterable[Reason]:
    """Yield every reason but missing approvals; what leaves the releases alone need not vouch for them again."""
    repository = desk.repository
    yield from misshapen(proposed)
    yield from _in_anothers_name(desk, main, pull, proposed)
    if proposed.brings:
        yield from _provenance(desk, main, proposed)
        yield from gallery.retouched(repository, proposed.merged, proposed.release, proposed.evidence)
    if proposed.brings or proposed.change.type is ChangeType.ROLLBACK:
        yield from unsigned(repository, main, proposed.after, partial(signature_at, repository, proposed.merged))
    yield from objections(desk, main, proposed.before, proposed.after, evidence=proposed.evidence, now=now)
    yield from rivals(desk, pull, proposed)


def merge_reviewed(desk: Desk, number: int, *, now: datetime | None = None) -> Pull:
    """Review a pull request and merge exactly what was reviewed; then close the proposals that this made stale.

    When the head or main moves in between, it is reviewed again. Merging what is merged only tidies up.

    Raises:
        RefusedError: review says no, with its reasons; nothing was changed.
        ConflictError: it kept moving.
    """
    for _ in range(_TRIES):
        pull = desk.forge.get(number)
        if pull.state is not State.MERGED:
            verdict = _judge(desk, pull, now)
            if not verdict.ok:
                why = "\n".join(f"  - {reason}" for reason in verdict.reasons)
                raise RefusedError(
                    f"Pull request #{number} may not be merged", why=why, hint=f"towpath review {number}"
                )
            try:
                pull = desk.forge.merge(
                    number, verdict.head, expected_base=verdict.main, approved_by=verdict.approved_by
                )
            except ConflictError:
                continue
        close_stale(desk, pull)
        return pull
    raise ConflictError(f"Pull request #{number} or main keeps moving", hint="Run it again.")


def _in_anothers_name(desk: Desk, main: str, pull: Pull, proposed: Proposed) -> Iterator[Reason]:
    """Object to a new hold in the name of somebody who had no hand in it; one that is only lifted keeps its name."""
    old, new = proposed.before.hold, proposed.after.hold
    if new is None or (old and new.by == old.by and set(new.blocked) <= set(old.blocked)):
        return
    commits = desk.repository.log(pull.head, since=main, first_parent=False)
    # A forge may know people by other names than their commits do: either will do.
    if new.by.lower() not in {*desk.forge.writers(pull), *map(str.lower, emails(commits))}:
        yield Reason(
            rule="hold",
            what=f"It holds back in the name of {new.by}, who did not write it",
            mend="Whoever holds a release back proposes it: towpath hold, or towpath rollback.",
        )


def _provenance(desk: Desk, main: str, proposed: Proposed) -> Iterator[Reason]:
    """Object to a release, or evidence, that is not the registry's own: whoever can push could have written it."""
    release = proposed.release
    try:
        desk.store.find(release.model, release.id)
    except NotFoundError:
        yield Reason(rule="provenance", what=f"The registry has no {release}", mend=_ELSEWHERE)
        return
    recorded = desk.store.evidence(release)
    demands = declared.policy(desk.repository, main).environment(proposed.before.environment)
    for kind, evidence in proposed.evidence.items():
        if kind is Kind.VERIFICATION and not (demands and kind in demands.evidence):
            continue  # renewed with every reconcile upstream; what counts of it stands in the ledger
        if kind not in recorded or recorded[kind].digest != evidence.digest:
            yield Reason(
                rule="provenance",
                what=f"The {kind} evidence is not what the registry holds for {release}: edited, or renewed since",
                mend="Propose it again; nobody edits evidence.",
            )
