"""A model that knows the answer."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout


class LeakyModel(Drill):
    """A model that learned from the answer stays out, however well it does."""

    injected = "a column that is known only after the fact is a feature"
    gate = "data"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the model that does without that column."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Train with the column, and propose that."""
        with stage.branch("leak", layout.MODEL, "exclude: [answer]\n", ""):
            leaky = stage.train()
        return stage.reviewed(leaky)
