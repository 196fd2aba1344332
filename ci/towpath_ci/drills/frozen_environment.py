"""A promotion in the holidays."""

from collections.abc import Sequence
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout

_FROZEN: Final = "name: staging\n    freeze: [{name: a drill, timezone: UTC, from: 2000-01-01, until: 2999-01-01}]"


class FrozenEnvironment(Drill):
    """In a freeze nothing moves forward."""

    injected = "a freeze of the environment"
    gate = "freeze"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review while main is as it was."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let main freeze it."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            with stage.saying(layout.POLICY, "name: staging", _FROZEN):
                return stage.review(pull)
