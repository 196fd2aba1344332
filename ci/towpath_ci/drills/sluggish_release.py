"""A release that answers well, and late."""

from collections.abc import Sequence
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.release import Release

ASKED: Final = "parity: 30d", "parity: 30d, load: 30d"  # the policy, and the policy that asks for load evidence


class SluggishRelease(Drill):
    """A release that answers like the champion, and takes many times as long, stays out."""

    injected = "a graph that multiplies large matrices for nothing; both serve, and callers ask them in turn"
    gate = "load"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Drive a release as fast as the champion, under a policy that asks for it."""
        return loaded(stage, stage.peer)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Drive the burdened one."""
        return loaded(stage, stage.sluggish)


def loaded(stage: Stage, release: Release) -> Sequence[Refusal]:
    """Drive a release beside the champion, let the policy ask for that, and return who refuses it."""
    stage.load(release)
    with stage.saying(layout.POLICY, *ASKED):
        return stage.reviewed(release)
