"""A comparison with yesterday's champion."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Kind


class WrongChampion(HarmedProposal):
    """A challenger is compared with what serves now."""

    injected = "a comparison with a champion that does not serve"
    gate = "champion"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Compare with another."""
        stage.forge(pull, Kind.COMPARISON, champion=digest_of("another"))
