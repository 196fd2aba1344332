"""Evidence about something else."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Kind


class ForeignEvidence(HarmedProposal):
    """Evidence counts for the release that was measured."""

    injected = "the evaluation of another release"
    gate = "evidence_bound"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Take the evaluation of another."""
        stage.forge(pull, Kind.EVALUATION, release=digest_of("another"))
