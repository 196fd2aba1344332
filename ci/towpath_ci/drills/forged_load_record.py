"""A load record whose verdicts are not what its own figures give."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.sluggish_release import loaded
from towpath_ci.drills.stage import Stage
from towpath_gitops.records.evidence import Verdict


class ForgedLoadRecord(Drill):
    """Load evidence whose findings its own rounds contradict counts for nothing, even in the registry."""

    injected = "whoever writes to the registry turns every finding of a slow release to pass"
    gate = "evidence_figures"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave the evidence as it was measured."""
        return loaded(stage, stage.peer)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Turn the findings of the slow release, and put them back afterwards."""
        measured = stage.load(stage.sluggish)
        kind = tuple(finding.model_copy(update={"verdict": Verdict.PASS}) for finding in measured.findings)
        stage.registry.publish_evidence(stage.sluggish, measured.model_copy(update={"findings": kind}))
        try:
            return loaded(stage, stage.sluggish)
        finally:
            stage.registry.publish_evidence(stage.sluggish, measured)
