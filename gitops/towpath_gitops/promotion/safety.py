"""May one go back to this release? It must have been verified here, exist, answer the same callers, not be blocked."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from towpath_gitops import layout
from towpath_gitops.errors import DigestMismatchError, InvalidFileError, NotFoundError, RefusedError, UnavailableError
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.artifact import SIGNATURE
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

_ANOTHER: Final = "Choose another release."


def unsafe(desk: Desk, deployment: Deployment, to: Release) -> tuple[Reason, ...]:
    """Return every reason why the environment, as `deployment` declares it, may not go back to `to`.

    Raises:
        UnavailableError: the registry does not answer, and the release's files are not here.
    """
    return tuple(_reasons(desk, deployment, to))


class Return(NamedTuple):
    """One release that the environment ran before, and every reason why it may not go back to it; none: it may."""

    release: Release
    reasons: tuple[Reason, ...]


def safe_returns(desk: Desk, deployment: Deployment, *, at_most: int = 5) -> list[Return]:
    """Return the releases that the environment could go back to, in the order in which a rollback would try them.

    Candidates are the releases that the ledger knows there, but for the one that is declared: first those whose latest
    verification is green, newest first, then the others, which never are safe and whose reasons say why. Only the
    first `at_most` are looked at: each look may fetch an artifact.

    Raises:
        UnavailableError: the registry does not answer.
        LedgerError: the ledger's chain is broken.
    """
    return list(islice(_returns(desk, deployment), at_most))


def rollback_target(desk: Desk, deployment: Deployment) -> Release:
    """Return the release that was verified last in this environment, is another than the current one, and is safe.

    Raises:
        RefusedError: there is none; says for each candidate why not.
        UnavailableError: the registry does not answer.
    """
    passed_over: list[Return] = []
    for candidate in _returns(desk, deployment):
        if not candidate.reasons:
            return candidate.release
        passed_over.append(candidate)
    lines = [f"  {candidate.release}: {reason}" for candidate in passed_over for reason in candidate.reasons]
    raise RefusedError(
        f"There is no release that {deployment.environment} could safely go back to",
        why="\n".join(lines) or "No other release was ever verified there.",
        hint="Train a release without the fault and promote it.",
    )


def _returns(desk: Desk, deployment: Deployment) -> Iterator[Return]:
    environment, model = deployment.environment, deployment.model
    current = deployment.release.id if deployment.release else None
    mentions: dict[str, str] = {}
    for entry in (*desk.history.verified(environment, model), *reversed(desk.history.entries(environment, model))):
        mentions.setdefault(entry.release, entry.commit)
    for known, commit in mentions.items():
        release = _declared(desk, deployment, known, commit)
        if release is not None and known != current:
            yield Return(release, unsafe(desk, deployment, release))


def _declared(desk: Desk, deployment: Deployment, known: str, commit: str) -> Release | None:
    """Return a release as main once declared it: the registry may have forgotten it."""
    with suppress(NotFoundError, InvalidFileError):
        found = declared.deployment(desk.repository, commit, deployment.environment, deployment.model).declared
        return found if found and found.id == known else None
    return None


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
        yield Reason(rule="blocked", what=f"{to} is blocked in {environment}", mend=_ANOTHER)
    yield from incompatible(desk, deployment, to)


def incompatible(desk: Desk, deployment: Deployment, to: Release) -> tuple[Reason, ...]:
    """Return why `to` could not answer those who call the environment now: its files are gone, or it takes other input.

    Raises:
        UnavailableError: the registry does not answer, and the release's files are not here.
    """
    try:
        with suppress(UnavailableError):  # the way back also works without the registry, when the bytes are here
            desk.store.find(to.model, to.id)
        target = _signature(desk, to)
    except (NotFoundError, DigestMismatchError, InvalidFileError) as error:
        return (Reason(rule="artifact", what=f"{to} cannot be fetched: {error.what}", mend=_ANOTHER),)
    breaks = _breaks(desk, deployment, target, to)
    return tuple(
        Reason(rule="signature", what=f"{to} would fail its callers: {each}", mend=_ANOTHER) for each in breaks
    )


def _breaks(desk: Desk, deployment: Deployment, target: Signature, to: Release) -> tuple[str, ...]:
    """Compare with what callers send now. Equal schemas need no look at the bad release, whose files may be gone."""
    current = deployment.declared
    if current is None or current.input_schema == to.input_schema:
        return ()
    try:
        return target.breaks(_signature(desk, current))
    except (NotFoundError, DigestMismatchError, InvalidFileError) as error:
        return (f"the schemas differ and that of {current} cannot be read: {error.what}",)


def _signature(desk: Desk, release: Release) -> Signature:
    folder = desk.store.fetch(release, layout.store(desk.repository.root))
    try:
        data = (folder / SIGNATURE).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"Its artifact has no {SIGNATURE}") from error
    return parse_json(data, Signature, source=f"{SIGNATURE} of {release}")
