"""A decision with half of its facts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.delivery.registry import EVIDENCE_PATH
from towpath_gitops.errors import RefusedError
from towpath_gitops.records.evidence import Kind


class MissingEvidence(Drill):
    """Nobody is asked to decide while evidence that the policy demands is missing."""

    injected = "the comparison with the champion is gone from the registry"
    gate = RefusedError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose with every kind of evidence there."""
        return _proposed(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose without one kind, and bring it back afterwards."""
        with _without(_stored(stage)):
            return _proposed(stage)


def _proposed(stage: Stage) -> Sequence[Refusal]:
    with stage.proposal(stage.good):
        return []


def _stored(stage: Stage) -> Path:
    """Return where the registry keeps the comparison of the good release."""
    version = stage.registry.client.get_model_version(stage.good.model, str(stage.good.version))
    (path,) = layout.mlartifacts(stage.root).rglob(f"{version.run_id}/**/{EVIDENCE_PATH}/{Kind.COMPARISON}.json")
    return path


@contextmanager
def _without(path: Path) -> Iterator[None]:
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)
