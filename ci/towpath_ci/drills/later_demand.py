"""A demand that came later."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout


class LaterDemand(Drill):
    """Missing evidence is never a pass."""

    injected = "a policy that also asks for a load test, which was never run"
    gate = "evidence_missing"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review while main is as it was."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let main ask for a load test."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            with stage.saying(layout.POLICY, "parity: 30d}", "parity: 30d, load: 30d}"):
                return stage.review(pull)
