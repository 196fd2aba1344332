"""Evidence that nobody measured."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.records.evidence import Finding, Kind, Verdict


class ForgedEvidence(Drill):
    """Evidence counts only as the registry holds it, however well it hangs together."""

    injected = "the author writes a better evaluation, and its digest wherever one is asked for"
    gate = "provenance"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave the evidence as it was measured."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Forge it, and let the owner approve the forgery."""
        with stage.proposal(stage.good) as pull:
            finding = Finding(gate="roc_auc", verdict=Verdict.PASS, message="It is perfect", measured=1.0)
            stage.forge(pull, Kind.EVALUATION, findings=(finding,))
            stage.approve(pull)
            return stage.review(pull)
