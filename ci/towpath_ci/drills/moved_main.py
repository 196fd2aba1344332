"""A main that moved on."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout


class MovedMain(Drill):
    """What was reviewed is what is merged."""

    injected = "the owner edits the environment file, between proposal and merge"
    gate = "conflict"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review while main is as it was."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let the owner edit it."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            with stage.saying(layout.environment_path(STAGING, MODEL), "workers: 1", "workers: 2"):
                return stage.review(pull)
