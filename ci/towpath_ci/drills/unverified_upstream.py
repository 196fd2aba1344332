"""A release that was never where it should have been first."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, PRODUCTION, STAGING, Stage
from towpath_gitops import layout


class UnverifiedUpstream(Drill):
    """Nothing enters production that staging has not verified."""

    injected = "a release that passes every gate, straight to production"
    gate = "upstream_verified"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it to staging."""
        return stage.reviewed(stage.peer, STAGING)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it to production by hand, because `towpath promote` would not even open the pull request."""
        path = layout.environment_path(PRODUCTION, MODEL)
        with stage.proposal(stage.peer, PRODUCTION, hotfix=True) as pull:
            stage.amend(pull, path, lambda text: text.replace("type: hotfix", "type: promote"))
            stage.approve(pull)
            return stage.review(pull)
