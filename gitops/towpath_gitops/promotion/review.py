"""The check on a pull request, and again at merge: may this very change enter main as main is now?

It judges what the merge would do to main, never what the branch looked like when it was made.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.branches import place_of
from towpath_gitops.promotion.codeowners import owners_of
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.eligibility import Reason
from towpath_gitops.promotion.judgement import approvals_needed, objections
from towpath_gitops.records.base import Commit, Line, Record
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, bundle_digest
from towpath_gitops.records.release import Release
from towpath_gitops.repository import emails

_ENVIRONMENT_FILE = re.compile(rf"{layout.ENVIRONMENTS}/([a-z][a-z0-9_-]*)/([a-z][a-z0-9_-]*)\.yaml")
_TRIES = 3
_ELSEWHERE = "Set MLFLOW_TRACKING_URI to the registry that holds it, or register it there: towpath train."
# Whoever looks needs no identity of their own, as on a machine that only checks: this commit is never pushed.
_REVIEWER = ("Towpath", "review@towpath.invalid")


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


@dataclass(frozen=True)
class _Proposal:
    """What the merge would do."""

    path: str
    before: Deployment
    after: Deployment
    release: Release
    change: Change
    evidence: Mapping[Kind, Evidence]
    changed: Sequence[str]
    removed: Sequence[str]


class _Unfit(Exception):  # noqa: N818 (not a failure: a reason on its way out)
    def __init__(self, rule: str, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.reason = Reason(rule=rule, what=what, mend=mend)


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
        proposal = _read(desk, pull, main)
        reasons = [*_shape(proposal), *_provenance(desk, main, proposal)]
        moment = now or datetime.now(UTC)
        reasons += objections(desk, main, proposal.before, proposal.after, evidence=proposal.evidence, now=moment)
        approved_by, missing = _approvals(desk, pull, main, proposal)
        reasons += missing
    except _Unfit as unfit:
        reasons = [unfit.reason]
    except (InvalidFileError, NotFoundError) as error:
        reasons = [Reason(rule="unreadable", what=" ".join(f"{error.what} {error.why}".split()), mend=error.hint)]
    return Review(
        number=pull.number, title=pull.title, head=pull.head, main=main, reasons=tuple(reasons), approved_by=approved_by
    )


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


def close_stale(desk: Desk, merged: Pull) -> None:
    """Close the open proposals for the environment and model that `merged` changed: they replace what is no more."""
    place = place_of(merged.branch)
    for other in desk.forge.list(State.OPEN):
        here = place_of(other.branch)
        if place and here and here[1:] == place[1:]:
            desk.forge.close(
                other.number, f"Stale: #{merged.number} ({merged.title}) was merged first. Propose it again."
            )


# --- what is proposed ---------------------------------------------------------------------------------------------


def _read(desk: Desk, pull: Pull, main: str) -> _Proposal:
    """Read what merging the pull request would change."""
    repository = desk.repository
    if pull.state is not State.OPEN:
        raise _Unfit("state", f"The pull request is {pull.state}", "Propose the change again.")
    try:
        merged = repository.acting_as(*_REVIEWER).merge(main, pull.head, "Review")
    except ConflictError as error:
        raise _Unfit("conflict", f"Main has moved: {error.what} ({error.why})", "Propose the change again.") from error
    changed = repository.changed(main, merged)
    places = [match for path in changed if (match := _ENVIRONMENT_FILE.fullmatch(path))]
    if len(places) != 1:
        found = ", ".join(match[0] for match in places) or "none"
        raise _Unfit("scope", f"A proposal edits exactly one environment file; this one edits {found}")
    path, environment, model = places[0][0], places[0][1], places[0][2]
    text = repository.read(merged, path)
    if text is None:
        raise _Unfit("scope", f"It deletes {path}", "Nothing is removed by a proposal.")
    before = declared.deployment(repository, main, environment, model)
    after = declared.checked_place(parse_deployment(text, source=path), environment, model)
    if after.release is None or after.change is None:
        raise _Unfit("scope", f"{path} would declare no release", "Nothing is removed by a proposal.")
    release = after.release.release(model)
    return _Proposal(
        path=path,
        before=before,
        after=after,
        release=release,
        change=after.change,
        evidence=declared.evidence(repository, merged, release.id),
        changed=changed,
        removed=[path for path in changed if repository.read_bytes(merged, path) is None],
    )


def _shape(proposal: _Proposal) -> Iterator[Reason]:
    """Object to everything that a proposal of its type does not write."""
    yield from _foreign_files(proposal)
    if proposal.after.owned != proposal.before.owned:
        names = [key for key, value in proposal.after.owned.items() if proposal.before.owned.get(key) != value]
        yield Reason(
            rule="owned_fields",
            what=f"It edits fields that belong to the environment's owner: {', '.join(names)}",
            mend="Change them in a pull request of their own.",
        )
    if proposal.after.experiment is not None:
        yield Reason(rule="experiment", what="It declares an experiment", mend="A promotion or rollback ends it.")
    if proposal.change.type is ChangeType.PROMOTE:
        yield from _promotion_shape(proposal)
    elif proposal.change.type is ChangeType.ROLLBACK:
        yield from _rollback_shape(proposal)
    else:
        yield Reason(rule="type", what=f"A change of type {proposal.change.type} cannot be reviewed by this version")


def _foreign_files(proposal: _Proposal) -> Iterator[Reason]:
    own = {proposal.path}
    if proposal.change.type is ChangeType.PROMOTE:
        own |= {layout.evidence_path(proposal.release.short_id, kind) for kind in Kind}
    foreign = [path for path in proposal.changed if path not in own or path in proposal.removed]
    if foreign:
        yield Reason(
            rule="scope",
            what=f"It also changes {', '.join(foreign[:5])}{' and more' if len(foreign) > 5 else ''}",  # noqa: PLR2004
            mend="A proposal holds one environment file and the evidence of its release, nothing else.",
        )


def _promotion_shape(proposal: _Proposal) -> Iterator[Reason]:
    if proposal.after.hold != proposal.before.hold:
        yield Reason(rule="hold", what="It changes what is blocked", mend="A promotion leaves `hold` alone.")
    if bundle_digest(proposal.evidence.values()) != proposal.change.evidence:
        yield Reason(
            rule="evidence_digest",
            what="The evidence files are not those that change.evidence names",
            mend="Propose it again; nobody edits evidence.",
        )


def _provenance(desk: Desk, main: str, proposal: _Proposal) -> Iterator[Reason]:
    """Object to a release, or evidence, that is not the registry's own: whoever can push could have written it."""
    if proposal.change.type is not ChangeType.PROMOTE:
        return
    release = proposal.release
    try:
        desk.store.find(release.model, release.id)
    except NotFoundError:
        yield Reason(rule="provenance", what=f"The registry has no {release}", mend=_ELSEWHERE)
        return
    recorded = desk.store.evidence(release)
    demands = declared.policy(desk.repository, main).environment(proposal.before.environment)
    for kind, evidence in proposal.evidence.items():
        if kind is Kind.VERIFICATION and not (demands and kind in demands.evidence):
            continue  # renewed with every reconcile upstream; what counts of it stands in the ledger
        if kind not in recorded or recorded[kind].digest != evidence.digest:
            yield Reason(
                rule="provenance",
                what=f"The {kind} evidence is not what the registry holds for {release}: edited, or renewed since",
                mend="Propose it again; nobody edits evidence.",
            )


def _rollback_shape(proposal: _Proposal) -> Iterator[Reason]:
    left = proposal.before.release.id if proposal.before.release else None
    expected = {*proposal.before.blocked, left} - {None}
    if set(proposal.after.blocked) != expected:
        yield Reason(
            rule="hold",
            what="It does not block exactly the release that it leaves, beside those blocked before",
            mend="Propose it with: towpath rollback.",
        )


# --- who approves -------------------------------------------------------------------------------------------------


def _approvals(desk: Desk, pull: Pull, main: str, proposal: _Proposal) -> tuple[tuple[str, ...], list[Reason]]:
    """Return whose approvals count, and the reason when they are too few."""
    text = desk.repository.read(main, layout.CODEOWNERS) or ""
    owners = owners_of(text, proposal.path)
    commits = desk.repository.log(pull.head, since=main, first_parent=False)
    writers = {email.lower() for email in (pull.author, *emails(commits))}
    counted: dict[str, None] = {}
    ignored: dict[str, None] = {}
    for approval in pull.approvals:
        objection = None
        if approval.head != pull.head:
            objection = "approved an earlier commit"
        elif not approval.is_genuine:
            objection = f"was written down by {approval.recorded_by}"
        elif approval.by.lower() in writers:
            objection = "wrote it"
        elif approval.by.lower() not in owners:
            objection = f"does not own {proposal.path}"
        (ignored if objection else counted)[f"{approval.by} ({objection})" if objection else approval.by.lower()] = None
    policy = declared.policy(desk.repository, main)
    needed = approvals_needed(policy, proposal.before.environment, proposal.change.type)
    if len(counted) >= needed:
        return tuple(counted), []
    return tuple(counted), [
        _too_few(pull, needed, tuple(counted), tuple(ignored), set(owners) - writers - set(counted))
    ]


def _too_few(pull: Pull, needed: int, counted: Sequence[str], ignored: Sequence[str], able: set[str]) -> Reason:
    what = f"{len(counted)} of {needed} approvals by owners who did not write it"
    if ignored:
        what += f"; not counted: {', '.join(ignored)}"
    mend = f"One of {', '.join(sorted(able))} runs: towpath approve {pull.number}"
    nobody = f"{layout.CODEOWNERS} on main names nobody who could: add an owner there."
    return Reason(rule="approvals", what=what, mend=f"{mend}." if able else nobody)
