"""What main wants of one place: which commit says so, which releases in which lanes, judged by which gates.

Only a merged commit is ever obeyed: the first-parent line of main, as far as it follows from what was applied last.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at, read_deployment
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.targets.base import Wanted
from towpath_gitops.errors import NotFoundError, RefusedError
from towpath_gitops.history import follows, newest_change
from towpath_gitops.records.base import digest_bytes, digest_of
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Kind, gate_digest
from towpath_gitops.records.parsing import load_yaml, parse_yaml
from towpath_gitops.records.pointer import LaneName, LanePointer, Split
from towpath_gitops.records.policy import KeySigning, Policy
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

SERVICE: Final = "bento"  # the folder of main whose code serves


@dataclass(frozen=True)
class Desired:
    """What main says of one model in one environment."""

    deployment: Deployment
    commit: str  # of main, the newest that changed what is served
    declared: Declared | None  # None: the file declares no release


def desired(repository: Repository, environment: str, model: str, *, accept_rewritten: bool = False) -> Desired:
    """Return what main, as last fetched, wants `environment` to serve of `model`.

    `accept_rewritten` follows a main branch whose history no longer holds the commit that was applied last.

    Raises:
        RefusedError: main's history was rewritten.
        NotFoundError: main has no such environment file.
        InvalidFileError: the file cannot be read.
        LedgerError: the ledger's chain is broken, or its branch was rewritten.
    """
    main = repository.main()
    ledger = Ledger(repository)
    ledger.require_continuous()
    live = ledger.live(environment, model)
    if live and not accept_rewritten and not follows(repository, live.commit, main):
        raise RefusedError(
            f"main's history was rewritten: {live.commit[:12]}, applied last to {environment}, is not in it",
            why="Only what follows from an applied commit was reviewed.",
            hint="Find out who pushed by force. To follow the new history: towpath reconcile --accept-rewritten",
        )
    path = layout.environment_path(environment, model)
    deployment = read_deployment(repository, main, environment, model)
    if deployment is None:
        raise NotFoundError(
            f"main has no {path}",
            why="A missing file never removes anything: whatever runs was left alone.",
            hint="Restore it: git revert the commit that removed it.",
        )
    commit = newest_change(repository, main, (path, SERVICE)) or main
    return Desired(deployment, commit, declared_at(repository, commit, environment, model))


def releases(declared: Declared) -> Iterator[tuple[LaneName, Release]]:
    """Yield each lane that should be live, with its release."""
    return _lanes(declared.deployment)


def _lanes(deployment: Deployment) -> Iterator[tuple[LaneName, Release]]:
    if deployment.declared:
        yield "champion", deployment.declared
    if deployment.experiment:
        lane: LaneName = "shadow" if deployment.experiment.mode == "shadow" else "challenger"
        yield lane, deployment.experiment.challenger.release(deployment.model)


def lane_pointer(repository: Repository, release: Release) -> LanePointer:
    """Return how a pointer names a release whose artifact is in this clone's store."""
    path = f"{layout.store(repository.root).absolute()}{os.sep}{release.artifact.removeprefix('sha256:')}"
    return LanePointer(release=release.id, artifact=release.artifact, path=path)


def wanted(repository: Repository, declared: Declared) -> Wanted:
    """Return what a target should come to serve, its artifacts in this clone's store."""
    return wanted_at(repository, declared.deployment, declared.commit)


def wanted_at(repository: Repository, deployment: Deployment, commit: str) -> Wanted:
    """Return what a deployment, and the service's code of a commit of main, ask of a target."""
    lanes = {lane: lane_pointer(repository, release) for lane, release in _lanes(deployment)}
    experiment = deployment.experiment
    split = None
    if experiment:
        split = Split(mode=experiment.mode, share=experiment.share, salt=experiment.challenger.id)
    return Wanted(deployment, commit, lanes, split)


def policy_of(repository: Repository) -> Policy | None:
    """Return main's policy; None when it has none."""
    text = repository.read(repository.main(), layout.POLICY)
    return parse_yaml(text, Policy, source=layout.POLICY) if text else None


def terms(repository: Repository) -> str:
    """Return the digest of what main verifies by: its gates, its demand for signatures, and the keys it names."""
    policy, main = policy_of(repository), repository.main()
    signing = policy.signing if policy else None
    keys = signing.keys if isinstance(signing, KeySigning) else ()
    return digest_of(
        {
            "gates": verification_gates(repository),
            "signing": signing.plain() if signing else None,
            "keys": [digest_bytes(repository.read_bytes(main, path) or b"") for path in keys],
        }
    )


def verification_gates(repository: Repository) -> str:
    """Return the digest of main's gate configuration, as far as a verification is judged by it."""
    text = repository.read(repository.main(), layout.MODEL)
    document = load_yaml(text, source=layout.MODEL) if text else {}
    return gate_digest(document if isinstance(document, Mapping) else {}, Kind.VERIFICATION)
