"""A draft becomes a branch, a decision document and a pull request; published twice it is still one.

Every step looks before it acts and states what it expects to replace, so that a publication that was interrupted
anywhere is finished by running it again.
"""

from functools import partial

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, InvalidFileError
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import declared, gallery
from towpath_gitops.promotion.change import brings
from towpath_gitops.promotion.deciding import decide
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.document import markdown
from towpath_gitops.promotion.draft import Draft
from towpath_gitops.promotion.gathering import gather
from towpath_gitops.promotion.judgement import approvals_needed, objections
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.promotion.rivals import supersede
from towpath_gitops.promotion.signatures import signature_at, unsigned
from towpath_gitops.records.deployment import ChangeType, edited
from towpath_gitops.records.release import Release


def publish(desk: Desk, draft: Draft) -> Pull:
    """Push the branch, open or adopt its pull request, close those that it supersedes; in this order.

    Raises:
        RefusedError: a fact that a decision needs is missing; nothing was pushed.
        ConflictError: somebody else moves the same branch at this moment.
        UnavailableError: the registry or the remote does not answer.
    """
    repository = desk.repository
    message = f"{draft.title}\n\n{draft.change.reason}\n\nTowpath-Release: {draft.release.id}\n"
    commit = repository.commit([draft.main], draft.main, _edits(desk, draft), message)
    ref = f"refs/heads/{draft.branch}"
    tip = repository.tip(ref)
    head = tip if tip is not None and _merges_alike(desk, draft.main, tip, commit) else commit
    approvals = approvals_needed(draft.policy, draft.after.environment, draft.lane)
    inputs = gather(desk, draft, head, reasons=_reasons(desk, draft), approvals=approvals)
    decision = decide(draft.before, draft.after, inputs)
    if head != tip:
        repository.push(head, ref, tip)
    data = decision.model_dump_json(by_alias=True, indent=2) + "\n"
    labels = (draft.change.type, draft.after.environment, draft.after.model)
    pull = desk.forge.open(branch=draft.branch, title=decision.title, body=markdown(decision), data=data, labels=labels)
    supersede(desk, pull)
    return pull


def _reasons(desk: Desk, draft: Draft) -> list[Reason]:
    found = objections(desk, draft.main, draft.before, draft.after, evidence=draft.evidence, now=draft.now)
    if not brings(draft.after) and draft.change.type is not ChangeType.ROLLBACK:
        return [*found]
    return [*found, *unsigned(desk.repository, draft.main, draft.after, partial(_signature, desk, draft))]


def _signature(desk: Desk, draft: Draft, release: Release) -> bytes | None:
    """Return the signature that main would hold of a release: beside a challenger the champion has its own."""
    if release.id == draft.release.id:
        return draft.signature
    return signature_at(desk.repository, draft.main, release)


def _edits(desk: Desk, draft: Draft) -> dict[str, bytes | None]:
    environment, model = draft.after.environment, draft.after.model
    path = layout.environment_path(environment, model)
    text = declared.deployment_text(desk.repository, draft.main, environment, model)
    edits: dict[str, bytes | None] = {path: edited(text, draft.after, source=path).encode()}
    for kind, item in draft.evidence.items():
        content = item.model_dump_json(by_alias=True, indent=2) + "\n"
        edits[layout.evidence_path(draft.release.short_id, kind)] = content.encode()
    if draft.signature:
        edits[layout.signature_path(draft.release.short_id)] = draft.signature
    if draft.evidence:
        edits |= gallery.edits(desk.repository, draft.main, draft.release, draft.evidence)
    return edits


def _merges_alike(desk: Desk, main: str, tip: str, commit: str) -> bool:
    """Return whether merging what is proposed already gives the very files of `commit`: then its approvals stand."""
    repository = desk.repository
    try:
        merged = repository.merge(main, tip, "Compare")
    except (ConflictError, InvalidFileError):
        return False
    return repository.tree(merged) == repository.tree(commit)
