"""A challenger that cannot read what callers send."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import STAGING, Stage
from towpath_gitops.promotion.proposal import propose_experiment
from towpath_gitops.records.release import Release


class BreakingChallenger(Drill):
    """A challenger takes what callers of the champion send."""

    injected = "a challenger that needs a column which nobody sends"
    gate = "signature"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Try a release that takes the same columns as the champion."""
        return _tried(stage, stage.peer)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Try one that takes more."""
        return _tried(stage, stage.stranger)


def _tried(stage: Stage, challenger: Release) -> Sequence[Refusal]:
    pull = propose_experiment(
        stage.desk(), environment=STAGING, challenger=challenger, mode="ab", share=0.1, reason="a drill"
    )
    with stage.closing(pull):
        stage.approve(pull)
        return stage.review(pull)
