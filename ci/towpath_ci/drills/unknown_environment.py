"""An environment that the policy does not know."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout


class UnknownEnvironment(Drill):
    """Nothing is promoted where no rule says what is asked."""

    injected = "the environment is struck from the policy"
    gate = "environment"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review while main is as it was."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Strike it."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            with stage.saying(layout.POLICY, "name: staging", "name: testing"):
                return stage.review(pull)
