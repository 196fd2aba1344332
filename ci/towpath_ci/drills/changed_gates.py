"""Gates that changed meanwhile."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout


class ChangedGates(Drill):
    """Evidence counts only for the gates that main has now."""

    injected = "a stricter gate on main, between proposal and merge"
    gate = "gates_changed"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review while main is as it was."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let main ask for more."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            with stage.saying(layout.MODEL, "min: 0.70", "min: 0.71"):
                return stage.review(pull)
