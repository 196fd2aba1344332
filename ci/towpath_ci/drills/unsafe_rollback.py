"""A way back that leads somewhere nobody has been."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.release import Release


class UnsafeRollback(Drill):
    """A rollback leads to a release that was verified there, however short its lane is."""

    injected = "a rollback to a release that staging never ran"
    gate = "verified_here"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Go back to the release from before."""
        stage.place(stage.peer, STAGING)
        return rolled_back(stage, stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Go back to the stranger."""
        return rolled_back(stage, stage.stranger)


def rolled_back(stage: Stage, to: Release) -> Sequence[Refusal]:
    """Propose a rollback of staging, let the owner approve, and return who still objects."""
    pull = propose_rollback(stage.desk(), environment=STAGING, model=MODEL, reason="a drill", to=to)
    with stage.closing(pull):
        stage.approve(pull)
        return stage.review(pull)
