"""A model that is good enough, and worse than what serves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


class WeakerModel(Drill):
    """A model that meets every floor but loses to the champion stays out."""

    injected = "two columns torn from their rows in training; a sound release serves"
    gate = "comparison"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose a release that learned from the same rows as the champion."""
        return stage.reviewed(stage.peer)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Train on dulled rows while the champion serves, and propose that."""
        stage.crown()
        return stage.reviewed(stage.train(dulled))


def dulled(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows with two columns of the first 70 %, those that are not for the test, torn from their rows."""
    last = round(len(frame) * 0.7) - 1
    torn = frame.loc[:last, ["distance", "cargo"]].sample(frac=1, random_state=1)
    found = frame.copy()
    found.loc[:last, ["distance", "cargo"]] = torn.to_numpy()
    return found.astype(frame.dtypes)
