"""A proposal that was given up."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage


class ClosedProposal(Drill):
    """What was closed is not merged, whoever approved it."""

    injected = "a pull request that was approved, and then closed"
    gate = "state"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave it open."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Close it after the approval, and review."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
        return stage.review(pull)
