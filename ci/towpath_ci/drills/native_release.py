"""Releases that no graph serves, where the policy refuses them; and code that main does not hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.evidence import ONE_GRAPH, OWN_CODE, Finding, Kind, Verdict
from towpath_gitops.records.release import Release


class NativeRelease(Drill):
    """A release that the native engine serves does not enter where the policy asks for one graph."""

    injected = "the parity evidence says that no graph could be made, where the policy says `native: refuse`"
    gate = "native"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the release, which one graph serves."""
        return self._reviewed(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it with the evidence of a release that the native engine serves."""
        with saying(stage, stage.good, ONE_GRAPH):
            return self._reviewed(stage)

    @staticmethod
    def _reviewed(stage: Stage) -> Sequence[Refusal]:
        with stage.saying(layout.POLICY, "name: staging\n", "name: staging\n    native: refuse\n"):
            return stage.reviewed(stage.good)


class UnmergedCode(Drill):
    """A release that runs code of a commit which nobody merged is not promoted."""

    injected = "a release with code of its owner's was trained on a branch that is not part of main"
    gate = "own_code"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose a release with code of its owner's, trained on main."""
        return self._reviewed(stage, "merged")

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose one that was trained on a branch."""
        with stage.branch("unmerged", "src/canal/units.py", "0.514444", "0.5"):
            return self._reviewed(stage, "unmerged")

    @staticmethod
    def _reviewed(stage: Stage, name: str) -> Sequence[Refusal]:
        release = stage.altered(name, lambda _: None, like=stage.good)
        with saying(stage, release, OWN_CODE):
            return stage.reviewed(release)


@contextmanager
def saying(stage: Stage, release: Release, gate: str) -> Iterator[None]:
    """Let the registry's parity evidence of a release give a warning, as training does, for the time of the block."""
    known = stage.registry.evidence(release)[Kind.PARITY]
    others = [found for found in known.findings if found.gate != gate]
    warning = Finding(gate=gate, verdict=Verdict.PASS, message="canal.steps.Wind has no graph", measured=1)
    stage.registry.publish_evidence(release, known.model_copy(update={"findings": (*others, warning)}))
    try:
        yield
    finally:
        stage.registry.publish_evidence(release, known)
