"""A signature by somebody whom nobody knows."""

from collections.abc import Sequence
from pathlib import Path

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.signing import asking, key_pair, signed
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops.delivery.declared import read_deployment
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.errors import SignatureError


class StrangersSignature(Drill):
    """What a stranger has signed is not pointed to, whatever was merged."""

    injected = "a signature on main by a key that main does not name"
    gate = SignatureError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Reconcile with a signature by the key that main names."""
        stage.crown()
        with key_pair() as (private, public):
            return _reconciled(stage, private, public)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Reconcile with a signature by another; afterwards the ledger shall say again that all is well."""
        with key_pair() as (stranger, _), key_pair() as (_, public):
            try:
                return _reconciled(stage, stranger, public)
            finally:
                reconcile(stage.repository, stage.registry, STAGING, MODEL)


def _reconciled(stage: Stage, private: Path, public: Path) -> Sequence[Refusal]:
    deployment = read_deployment(stage.repository, stage.repository.main(), STAGING, MODEL)
    assert deployment is not None  # noqa: S101 (narrows the type: something serves there)
    assert deployment.declared is not None  # noqa: S101 (as above)
    with stage.main(asking(stage, public) | signed(stage, deployment.declared, private)):
        reconcile(stage.repository, stage.registry, STAGING, MODEL)
    return []
