"""A promotion that calls itself a hold."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull


class DisguisedPromotion(HarmedProposal):
    """A name does not lead around the rules."""

    injected = "a promotion under the name of a hold, which needs no evidence"
    gate = "release"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Call it a hold."""
        path = layout.environment_path(STAGING, MODEL)
        stage.amend(pull, path, lambda text: text.replace("type: promote", "type: hold"))
