"""Which way each transformed feature goes with a column: what the trees must know of a monotone direction.

The transformer may be the owner's own, so nothing is read from its names. It is asked: a column is moved over the
values that training saw while all others stand still, and the features that move along are looked at.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines.native import dense
from towpath_flows.project import Project
from towpath_flows.training_spec import Direction
from towpath_gitops.errors import InvalidFileError

_ROWS: Final = 40  # rows among which the column is moved
_VALUES: Final = 33  # quantiles of the column that it is moved over
_SIGNS: Final[dict[Direction, int]] = {"increasing": 1, "decreasing": -1}


def constraints(project: Project, pipeline: Any, x: pd.DataFrame) -> tuple[int, ...]:  # noqa: ANN401 (untyped library)
    """Return the sign of each feature of the fitted `pipeline`; empty where `train.monotone` asks for nothing.

    Raises:
        InvalidFileError: a column is no number, moves no feature, moves one up and down, or two columns pull one
            feature in opposite directions.
    """
    asked = project.spec.train.monotone
    if not asked:
        return ()
    signs: NDArray[np.int64] | None = None
    for column, direction in asked.items():
        wanted = _SIGNS[direction] * _moved(pipeline, x, column)
        if signs is None:
            signs = np.zeros_like(wanted)
        if (signs * wanted < 0).any():
            raise _refusal(column, "It shares a feature with another column that pulls the other way.")
        signs = np.where(wanted != 0, wanted, signs)
    return tuple(int(sign) for sign in signs) if signs is not None else ()


def _moved(pipeline: Any, x: pd.DataFrame, column: str) -> NDArray[np.int64]:  # noqa: ANN401 (as above)
    """Return for each feature whether it rises with the column (1), falls (-1) or stands still (0)."""
    if column not in x or x[column].dtype == object:
        raise _refusal(column, "It is no number among the features.")
    known = x[column].dropna().to_numpy()
    values = np.unique(np.quantile(known, np.linspace(0, 1, _VALUES), method="nearest")) if len(known) else known
    base = x.iloc[:: max(1, len(x) // _ROWS)][:_ROWS]
    asked = base.loc[base.index.repeat(len(values))].reset_index(drop=True)
    asked[column] = np.tile(values, len(base)).astype(x[column].dtype)
    with np.errstate(invalid="ignore"):
        steps = np.diff(dense(pipeline.transform(asked)).reshape(len(base), len(values), -1), axis=1)
    rises, falls = (steps > 0).any(axis=(0, 1)), (steps < 0).any(axis=(0, 1))
    if (rises & falls).any():
        raise _refusal(column, "A feature made of it rises and falls, so trees cannot be held to a direction.")
    if not (rises | falls).any():
        raise _refusal(column, "No feature moves with it.")
    return np.asarray(rises.astype(np.int64) - falls.astype(np.int64))


def _refusal(column: str, why: str) -> InvalidFileError:
    return InvalidFileError(
        f"model.yaml: train.monotone: {column} cannot be monotone",
        why=why,
        hint="Let the column pass into the trees as a number (also through a log, a clip or a bucket).",
    )
