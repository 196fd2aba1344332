"""What each row counts in a fit: the owner's column, times the weight of its class."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.data.target import Target, label
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, InvalidFileError

_MEAN: Final = 1.0  # weights have this mean on the rows that are fitted: limits such as `min_child_weight` keep meaning


@dataclass(frozen=True)
class Weights:
    """Weights learned from the rows that are fitted, so that rows to judge count by the same measure.

    `classes` (k,) are the weights of the classes; `scale` brings the mean over the fitted rows to one.
    """

    column: str | None
    classes: NDArray[np.float64] | None
    scale: float = 1.0

    @classmethod
    def of(cls, project: Project, target: Target, frame: pd.DataFrame, y: NDArray[Any]) -> Self | None:
        """Return the weights that model.yaml asks for; None where it asks for none.

        `balanced` is n / (k · rows of the class), as in scikit-learn (King and Zeng, 2001).

        Raises:
            InvalidFileError: `train.class_weights` names a class that the target has not, or leaves one out.
            DataContractError: a row has no weight, or one that is negative or not finite; or all are zero.
        """
        train = project.spec.train
        if train.weights is None and train.class_weights is None:
            return None
        classes = None if train.class_weights is None else _of_classes(train.class_weights, target, y)
        raw = cls(train.weights, classes).rows(frame, y).astype(np.float64)
        if not raw.sum() > 0:
            raise DataContractError(
                f"Every weight in {train.weights} is zero", why=f"{len(frame):,} rows would be fitted."
            )
        return cls(train.weights, classes, _MEAN / float(raw.mean()))

    def rows(self, frame: pd.DataFrame, y: NDArray[Any]) -> NDArray[np.float32]:
        """Return the weight of each row, (n,), float32.

        Raises:
            DataContractError: a row has no weight, or one that is negative or not finite.
        """
        weights = np.ones(len(frame)) if self.column is None else _of_column(frame[self.column], self.column)
        if self.classes is not None:
            weights = weights * self.classes[y]
        return np.asarray(weights * self.scale, dtype=np.float32)


def _of_column(values: Any, column: str) -> NDArray[np.float64]:  # noqa: ANN401 (pandas is not typed here)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataContractError(
            f"{int(wrong.sum()):,} rows have no weight in {column}",
            why=f"Row {first} has {values.iloc[first]!r}; a weight is a number of at least zero.",
            hint=f"Fill {column} in the data, and let the schema refuse what is missing: pa.Field(ge=0).",
        )
    return numbers  # type: ignore[no-any-return]  # pandas


def _of_classes(asked: Any, target: Target, y: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ANN401 (a word or a mapping)
    names = target.classes or ()
    if asked == "balanced":
        counts = np.bincount(y, minlength=len(names))
        return np.asarray(len(y) / (len(names) * np.maximum(counts, 1)), dtype=np.float64)
    given = {label(key): float(weight) for key, weight in asked.items()}
    if set(given) != set(names):
        raise InvalidFileError(
            f"model.yaml: train.class_weights: it weighs {', '.join(given)}",
            why=f"The classes of {target.column} are {', '.join(names)}.",
            hint="Give each class one weight, or write `balanced`.",
        )
    return np.array([given[name] for name in names])
