"""Evidence that was changed afterwards."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.evidence import Kind


class SwappedEvidence(HarmedProposal):
    """Evidence is what the change was proposed on."""

    injected = "a word of the evaluation, changed after the proposal"
    gate = "evidence_digest"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Change the word."""
        path = layout.evidence_path(stage.good.short_id, Kind.EVALUATION)
        stage.amend(pull, path, lambda text: text.replace('"pass"', '"fail"', 1))
