"""A hotfix where there is no lane for one."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.lonely_hotfix import hotfix
from towpath_ci.drills.stage import OWNER, SECOND_OWNER, Stage
from towpath_gitops import layout


class UninvitedHotfix(Drill):
    """There is a way around an environment only where the policy opens one."""

    injected = "a hotfix that two owners approve, while the policy has no lane for it"
    gate = "hotfix"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it where the policy has the lane."""
        return hotfix(stage, OWNER, SECOND_OWNER)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it while the policy has none."""
        with stage.saying(layout.POLICY, "hotfix: {approvals: 2}", "hotfix: null"):
            return hotfix(stage, OWNER, SECOND_OWNER)
