"""Rows that break their contract."""

from collections.abc import Sequence
from contextlib import chdir
from typing import TYPE_CHECKING

from towpath_ci.drills.barges import barges
from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.errors import DataContractError

if TYPE_CHECKING:
    import pandas as pd


class BrokenSchema(Drill):
    """Rows that break their schema are not trained on."""

    injected = "a column is gone, another holds a value that cannot be"
    gate = DataContractError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Validate sound rows."""
        return _validated(stage, barges())

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Validate broken ones: the refusal is the error."""
        return _validated(stage, barges().drop(columns="wind").assign(locks=-1))


def _validated(stage: Stage, frame: "pd.DataFrame") -> Sequence[Refusal]:
    from towpath_flows import stages  # noqa: PLC0415 (heavy: only drills that train need it)

    stage.write(frame)
    with chdir(stage.root):
        project = stages.open_project.fn()
    stages.validate.fn(project, stages.load.fn(project))
    return []
