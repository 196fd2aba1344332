"""A hotfix that only one person has looked at."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import OWNER, PRODUCTION, SECOND_OWNER, Stage


class LonelyHotfix(Drill):
    """A hotfix goes around staging only when a second owner agrees."""

    injected = "a hotfix that one owner approves"
    gate = "approvals"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let two owners approve."""
        return hotfix(stage, OWNER, SECOND_OWNER)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let one approve."""
        return hotfix(stage, OWNER)


def hotfix(stage: Stage, *owners: tuple[str, str]) -> Sequence[Refusal]:
    """Propose the peer as a hotfix of production, let owners approve, and return who still objects."""
    with stage.proposal(stage.peer, PRODUCTION, hotfix=True) as pull:
        stage.approve(pull, *owners)
        return stage.review(pull)
