"""Evidence from tomorrow."""

from datetime import UTC, datetime, timedelta

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.evidence import Kind


class FutureEvidence(HarmedProposal):
    """Evidence that is not made yet does not count."""

    injected = "evidence dated tomorrow, which would stay fresh for longer"
    gate = "evidence_future"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Date it tomorrow."""
        stage.forge(pull, Kind.EVALUATION, created=datetime.now(UTC) + timedelta(days=1))
