"""A promotion from somewhere else."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.base import digest_of


class StaleSwap(HarmedProposal):
    """A promotion replaces what is declared, not what once was."""

    injected = "a proposal that says it replaces another release"
    gate = "compare_and_swap"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Name another release."""
        path, other = layout.environment_path(STAGING, MODEL), digest_of("another")
        stage.amend(pull, path, lambda text: text.replace("from: null", f"from: {other}"))
