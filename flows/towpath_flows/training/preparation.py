"""Frames become the dense float32 matrices that trainers take."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines.native import dense
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.training.declared import declared_transformer
from towpath_flows.training.features import Features, default_transformer
from towpath_flows.training.monotone import constraints
from towpath_flows.training.trainers import Data, Setting
from towpath_flows.training.trainers.base import cores
from towpath_flows.training.weights import Weights
from towpath_gitops.errors import TrainingError


@dataclass(frozen=True)
class Prepared:
    """A transformer fitted on the rows of `train`, and the rows themselves; `judge` where rows to judge were given.

    `inputs` are the rows of `train` before they were transformed.
    """

    pipeline: Any
    train: Data
    judge: Data | None
    inputs: pd.DataFrame


def prepare(project: Project, features: Features, train: pd.DataFrame, judge: pd.DataFrame | None = None) -> Prepared:
    """Fit the owner's transformer (else the default one) on `train` and transform both.

    Raises:
        TrainingError: the transformer fails on these rows, or gives values that are no finite numbers.
        DataContractError, InvalidFileError: what model.yaml says of weights or directions does not fit these rows.
    """
    x, y = features.prepare(train)
    pipeline = transformer(project, features, x)
    try:
        fitted = _finite(dense(pipeline.fit_transform(x, y)))
        judged = None if judge is None else _finite(dense(pipeline.transform(features.x(judge))))
    except TrainingError:
        raise
    except Exception as error:
        # The owner's transformer may fail in any way.
        raise TrainingError(
            f"The features cannot be made: {type(error).__name__}: {error}",
            why=f"The transformer {_origin(project)} failed on {len(train):,} rows.",
            hint="Numbers arrive as float32 with NaN for missing, strings as str with an empty one for missing.",
        ) from error
    weights = Weights.of(project, features.target, train, y)
    data = Data(fitted, y, weights.rows(train, y) if weights else None, constraints(project, pipeline, x))
    if judge is None or judged is None:
        return Prepared(pipeline, data, None, x)
    answers = features.y(judge)
    return Prepared(pipeline, data, Data(judged, answers, weights.rows(judge, answers) if weights else None), x)


def transformer(project: Project, features: Features, x: pd.DataFrame) -> Any:  # noqa: ANN401 (scikit-learn is not typed)
    """Return the unfitted transformer: the owner's function's, or the declared features', or the default one."""
    asked = project.spec.features
    if isinstance(asked, tuple):
        return declared_transformer(features, x, asked, project.spec.train.seed)
    return project.features() or default_transformer(features, x)


def _origin(project: Project) -> str:
    asked = project.spec.features
    if isinstance(asked, tuple):
        return "declared in model.yaml"
    return asked or "derived from the schema"


def setting_of(project: Project, splits: Splits, workers: int = 1) -> Setting:
    """Return what every fit of this project has in common; `workers` fits at a time share the cores."""
    train = project.spec.train
    threads = max(1, cores() // workers)
    classes = len(splits.target.classes or ())
    return Setting(project.spec.task, classes, train.rounds, train.patience, train.seed, threads)


def _finite(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    if np.isinf(matrix).any():
        raise TrainingError(
            "The features hold infinities",
            why="They leave the range of float32, the type that is served.",
            hint="Scale such columns in the data.",
        )
    return matrix
