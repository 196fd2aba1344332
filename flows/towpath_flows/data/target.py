"""The target column as numbers: class codes in the order of the probabilities, or the values themselves."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.spec import ModelSpec
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.signature import Task

MOST_CLASSES: Final = 100


def label(value: object) -> str:
    """Return a target value as callers see it: `true`, `3`, `late`."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Target:
    """What is predicted. `classes` is None for regression; of two classes the second is the one asked about.

    Of a `sensitive` one no message shows a value but the classes.
    """

    column: str
    task: Task
    classes: tuple[str, ...] | None
    sensitive: bool = False

    @classmethod
    def of(cls, spec: ModelSpec, frame: pd.DataFrame) -> Self:
        """Learn the classes from the rows that have a target.

        Raises:
            DataContractError: no row has one, they are all the same, binary has more than two values, multiclass more
                than 100, regression has values that are not numbers, or `positive` is none of the values.
        """
        values = frame[spec.target].dropna()
        if values.empty:
            raise DataContractError(f"No row has a value of the target {spec.target}")
        if values.nunique() < 2:  # noqa: PLR2004 (two different values are what can be told apart)
            raise DataContractError(
                f"The target {spec.target} is {label(values.iloc[0])} in all {len(values):,} rows",
                why="A model can only learn to tell apart what differs.",
                hint="Look at how the target is made, or take a wider window.",
            )
        if spec.task == "regression":
            _numbers(spec.target, values)
            return cls(spec.target, spec.task, None)
        return cls(spec.target, spec.task, _classes(spec, values))

    def encode(self, values: "pd.Series[Any]") -> NDArray[Any]:
        """Return codes of shape (n,), int64, or for regression float64. Every row must have a target.

        Raises:
            DataContractError: a value is missing or of no class that the model knows.
        """
        if self.classes is None:
            return _numbers(self.column, values)
        known = {name: code for code, name in enumerate(self.classes)}
        codes = values.map({value: known.get(label(value)) for value in values.dropna().unique()})
        if codes.isna().any():
            raise DataContractError(
                f"{int(codes.isna().sum()):,} rows have a {self.column} that the model does not know",
                why=f"Row {codes.index[codes.isna()][0]}{self._shown(values[codes.isna()].iloc[0])}; "
                f"known are {', '.join(self.classes)}.",
            )
        return np.asarray(codes, dtype=np.int64)

    def _shown(self, value: object) -> str:
        return " has another" if self.sensitive else f" has {value!r}"


def _numbers(column: str, values: "pd.Series[Any]") -> NDArray[np.float64]:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(numbers).all():
        raise DataContractError(f"The target {column} holds values that are not finite numbers")
    return np.asarray(numbers)


def _classes(spec: ModelSpec, values: "pd.Series[Any]") -> tuple[str, ...]:
    most = 2 if spec.task == "binary" else MOST_CLASSES
    if values.nunique() > most:
        raise DataContractError(
            f"The target {spec.target} has {values.nunique():,} different values",
            why=f"A {spec.task} task has at most {most}.",
            hint="Correct `target` or `task` in model.yaml.",
        )
    if spec.task == "multiclass" and values.nunique() < 3:  # noqa: PLR2004 (two classes are a task of their own)
        raise DataContractError(
            f"The target {spec.target} has two different values",
            why="A multiclass task has three or more.",
            hint="Write `task: binary` in model.yaml.",
        )
    names = [label(value) for value in sorted(values.unique())]
    if spec.task == "binary" and spec.positive is not None:
        positive = label(spec.positive)
        if positive not in names:
            raise DataContractError(
                f"The target {spec.target} is never {positive}",
                why=f"model.yaml calls it positive; the values are {', '.join(names)}.",
            )
        names.sort(key=lambda name: name == positive)
    return tuple(names)
