"""Drills that harm a sound proposal: they share its known-good twin, which is reviewed once."""

from abc import abstractmethod
from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull


class HarmedProposal(Drill):
    """A sound proposal that somebody harms before the owner approves it in good faith."""

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave the proposal as it is."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Harm it, let the owner approve it, and review."""
        with stage.proposal(stage.good) as pull:
            self.harm(stage, pull)
            stage.approve(pull)
            return stage.review(pull)

    @abstractmethod
    def harm(self, stage: Stage, pull: Pull) -> None:
        """Do the harm."""
