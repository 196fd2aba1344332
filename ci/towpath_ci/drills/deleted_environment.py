"""Delete everything."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull


class DeletedEnvironment(HarmedProposal):
    """A proposal never empties an environment."""

    injected = "the environment file is deleted"
    gate = "scope"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Delete the file."""
        stage.amend(pull, layout.environment_path(STAGING, MODEL), lambda _: None)
