"""A file that ends in the middle."""

from towpath_ci.drills.harmed import HarmedProposal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull


class HalfWrittenFile(HarmedProposal):
    """What cannot be read is not merged."""

    injected = "the environment file, cut off in the middle of a word"
    gate = "unreadable"

    def harm(self, stage: Stage, pull: Pull) -> None:
        """Cut it off."""
        stage.amend(pull, layout.environment_path(STAGING, MODEL), lambda text: text[: len(text) // 2])
