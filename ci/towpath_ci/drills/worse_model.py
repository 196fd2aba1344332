"""A model that learned nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


class WorseModel(Drill):
    """A model that learned nothing stays out."""

    injected = "labels torn from their rows before training"
    gate = "evaluation"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the model that was trained on sound rows."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Train on scrambled labels, and propose that."""
        return stage.reviewed(stage.train(scrambled))


def scrambled(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows with their labels in another order."""
    return frame.assign(late=frame["late"].sample(frac=1, random_state=1).to_numpy())
