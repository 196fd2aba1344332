"""Two proposals for one place."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.branches import branch_of
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType


class OpenRival(HarmedProposal):
    """Of two open promotions to one environment only the newer may go on."""

    injected = "a second promotion, opened beside the first"
    gate = "one_open"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Open the second without closing the first."""
        branch = branch_of(ChangeType.PROMOTE, STAGING, MODEL, digest_of("another"))
        stage.repository.push(pull.head, f"refs/heads/{branch}", None)
        stage.desk().forge.open(branch=branch, title="A drill", body="", data="")
