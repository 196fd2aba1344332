"""A file that rides along."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull


class SmuggledFile(HarmedProposal):
    """Nothing rides along with a promotion."""

    injected = "the policy, made laxer, in the same pull request"
    gate = "scope"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Ask for no approval any more."""
        stage.amend(pull, layout.POLICY, lambda text: text.replace("approvals: 1", "approvals: 0"))
