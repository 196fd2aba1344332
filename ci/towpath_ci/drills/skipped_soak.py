"""A release that has hardly been where it should have been for a day."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import PRODUCTION, STAGING, Stage
from towpath_gitops import layout


class SkippedSoak(Drill):
    """A release stays in staging, healthy, for as long as production asks."""

    injected = "a policy that asks for a day in staging; the release has been there for seconds"
    gate = "soak"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it to a production that asks for no soak."""
        stage.place(stage.peer, STAGING)
        return stage.reviewed(stage.peer, PRODUCTION)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it to one that asks for a day."""
        with stage.saying(layout.POLICY, "name: production", "name: production\n    soak: 1d"):
            return stage.reviewed(stage.peer, PRODUCTION)
