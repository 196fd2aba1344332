"""A hold that changes on the way."""

from datetime import UTC, datetime

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Hold


class RewrittenHold(HarmedProposal):
    """A promotion leaves alone what is held back."""

    injected = "a promotion that also says what is held back"
    gate = "hold"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Hold another release back."""
        held = Hold(blocked=(digest_of("another"),), reason="a drill", by="ada@example.org", since=datetime.now(UTC))
        stage.rewrite(pull, hold=held)
