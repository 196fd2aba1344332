"""Frames become the dense float32 matrices that trainers take."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines.native import dense
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.training.features import Features, default_transformer
from towpath_flows.training.trainers import Data, Setting
from towpath_gitops.errors import TrainingError


@dataclass(frozen=True)
class Prepared:
    """A transformer fitted on the rows of `train`, and the rows themselves; `judge` where rows to judge were given."""

    pipeline: Any
    train: Data
    judge: Data | None


def prepare(project: Project, features: Features, train: pd.DataFrame, judge: pd.DataFrame | None = None) -> Prepared:
    """Fit the owner's transformer (else the default one) on `train` and transform both.

    Raises:
        TrainingError: the transformer fails on these rows, or gives values that are no finite numbers.
    """
    x, y = features.prepare(train)
    pipeline = project.features() or default_transformer(features, x)
    try:
        fitted = _finite(dense(pipeline.fit_transform(x, y)))
        judged = (
            None if judge is None else Data(_finite(dense(pipeline.transform(features.x(judge)))), features.y(judge))
        )
    except TrainingError:
        raise
    except Exception as error:
        # The owner's transformer may fail in any way.
        raise TrainingError(
            f"The features cannot be made: {type(error).__name__}: {error}",
            why=f"The transformer {project.spec.features or 'derived from the schema'} failed on {len(train):,} rows.",
            hint="Numbers arrive as float32 with NaN for missing, strings as str with an empty one for missing.",
        ) from error
    return Prepared(pipeline, Data(fitted, y), judged)


def setting_of(project: Project, splits: Splits) -> Setting:
    """Return what every fit of this project has in common."""
    train = project.spec.train
    return Setting(project.spec.task, len(splits.target.classes or ()), train.rounds, train.patience, train.seed)


def _finite(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    if np.isinf(matrix).any():
        raise TrainingError(
            "The features hold infinities",
            why="They leave the range of float32, the type that is served.",
            hint="Scale such columns in the data.",
        )
    return matrix
