"""An approval of something else than what would be merged."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull


class StaleApproval(Drill):
    """An approval counts only for the commit that was approved."""

    injected = "another commit on the branch after the approval"
    gate = "approvals"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Approve, and leave the branch alone."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Approve, then move the branch on."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            _move(stage, pull)
            return stage.review(pull)


def _move(stage: Stage, pull: Pull) -> None:
    repository = stage.repository
    later = repository.commit([pull.head], pull.head, {}, "One more thing\n")
    repository.push(later, f"refs/heads/{pull.branch}", pull.head)
