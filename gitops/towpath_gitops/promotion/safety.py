"""May one go back to this release? It must have been verified here, exist, answer the same callers, not be blocked."""

from collections.abc import Iterator

from towpath_gitops import layout
from towpath_gitops.errors import DigestMismatchError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.eligibility import Reason
from towpath_gitops.records.artifact import SIGNATURE
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature


def unsafe(desk: Desk, deployment: Deployment, to: Release) -> tuple[Reason, ...]:
    """Return every reason why the environment, as `deployment` declares it, may not go back to `to`.

    Raises:
        UnavailableError: the registry does not answer.
    """
    return tuple(_reasons(desk, deployment, to))


def rollback_target(desk: Desk, deployment: Deployment) -> Release:
    """Return the release that was verified last in this environment, is another than the current one, and is safe.

    Raises:
        RefusedError: there is none; says for each candidate why not.
        UnavailableError: the registry does not answer.
    """
    current = deployment.release.id if deployment.release else None
    objections: list[str] = []
    for entry in desk.history.verified(deployment.environment, deployment.model):
        if entry.release == current:
            continue
        try:
            candidate = desk.store.find(deployment.model, entry.release)
        except NotFoundError:
            objections.append(f"  {short(entry.release)}: the registry does not hold it any more.")
            continue
        reasons = unsafe(desk, deployment, candidate)
        if not reasons:
            return candidate
        objections += [f"  {candidate}: {reason}" for reason in reasons]
    raise RefusedError(
        f"There is no release that {deployment.environment} could safely go back to",
        why="\n".join(objections) or "No other release was ever verified there.",
        hint="Train a release without the fault and promote it.",
    )


def _reasons(desk: Desk, deployment: Deployment, to: Release) -> Iterator[Reason]:
    environment = deployment.environment
    latest = desk.history.last_verified(environment, deployment.model, to.id)
    if latest is None or latest.verdict is not Verdict.PASS:
        said = f"its latest verification says {latest.verdict}" if latest else "it never was"
        yield Reason(
            rule="verified_here",
            what=f"{to} is not verified in {environment}: {said}",
            mend="Go back to one that was, or promote it.",
        )
    if to.id in deployment.blocked:
        yield Reason(rule="blocked", what=f"{to} is blocked in {environment}", mend="Go back to another.")
    try:
        target = _signature(desk, to)
    except (NotFoundError, DigestMismatchError, InvalidFileError) as error:
        yield Reason(rule="artifact", what=f"{to} cannot be fetched: {error.what}", mend="Go back to another.")
        return
    yield from _incompatible(desk, deployment, to, target)


def _incompatible(desk: Desk, deployment: Deployment, to: Release, target: Signature) -> Iterator[Reason]:
    """Compare with what callers send now. Equal schemas need no look at the bad release, whose files may be gone."""
    current = deployment.declared
    if current is None or current.input_schema == to.input_schema:
        return
    try:
        breaks = target.breaks(_signature(desk, current))
    except (NotFoundError, DigestMismatchError, InvalidFileError) as error:
        breaks = (f"the schemas differ and that of {current} cannot be read: {error.what}",)
    for message in breaks:
        yield Reason(rule="signature", what=f"{to} would fail its callers: {message}", mend="Go back to another.")


def _signature(desk: Desk, release: Release) -> Signature:
    folder = desk.store.fetch(release, layout.store(desk.repository.root))
    try:
        data = (folder / SIGNATURE).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"Its artifact has no {SIGNATURE}") from error
    return parse_json(data, Signature, source=f"{SIGNATURE} of {release}")
