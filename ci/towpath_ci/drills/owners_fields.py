"""An edit that belongs to somebody else."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull


class OwnersFields(HarmedProposal):
    """A promotion does not touch what the environment's owner decides."""

    injected = "a promotion that also gives the service more workers"
    gate = "owned_fields"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Edit the owner's line."""
        path = layout.environment_path(STAGING, MODEL)
        stage.amend(pull, path, lambda text: text.replace("workers: 1", "workers: 8"))
