"""A challenger that rides along."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.deployment import Experiment, PinnedRelease


class SmuggledExperiment(HarmedProposal):
    """A promotion ends experiments and starts none."""

    injected = "a promotion that also lets a challenger answer half the requests"
    gate = "experiment"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Declare the challenger."""
        challenger = PinnedRelease.of(stage.good)
        stage.rewrite(pull, experiment=Experiment(challenger=challenger, mode="ab", share=0.5))
