"""Measures of the owner's own: what the model's decisions are worth, row by row, in the owner's words and units."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.deciding import Rule
from towpath_flows.evaluation.metrics import Metric, Prepared, decide, mean_of, metrics_of
from towpath_flows.evidence_spec import BusinessMetric, CostMatrix, ThresholdSpec
from towpath_flows.project import Project
from towpath_flows.spec import SPEC
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.signature import Matrix, Task

COST: Final = "cost"  # the metric of a threshold that is chosen by cost
INPUTS: Final = ("rows", "truth", "decided", "answers")  # what an owner's function may ask for, by argument name

Function = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, eq=False)
class RowMetric(Metric):
    """The mean over rows of a value that a function gives each row: bound to those rows, as it may look at any column.

    `function` gets the mapping of `INPUTS`: `rows`, the validated table; `truth` and `decided` (n,), which are truths
    for a binary task, labels for many classes, values for a regression; `answers`, (n,) or (n, k).
    """

    looks_at_rows: ClassVar[bool] = True

    rows: pd.DataFrame = field(kw_only=True)
    function: Function = field(kw_only=True)
    classes: tuple[str, ...] | None = field(kw_only=True, default=None)

    def of(self, chosen: NDArray[Any]) -> "RowMetric":
        """Return the metric of some of the rows: a mask (n,) or indices."""
        return RowMetric(
            self.name,
            self.label,
            self.greater_is_better,
            self.tasks,
            self.in_target_units,
            rows=self.rows.iloc[np.flatnonzero(chosen) if chosen.dtype == bool else chosen],
            function=self.function,
            classes=self.classes,
        )

    def prepare(self, task: Task, y: NDArray[Any], p: NDArray[Any], threshold: Rule = 0.5) -> Prepared:
        """Return the mean value of a row as a function of row counts; see `Metric.prepare`.

        Raises:
            InvalidFileError: the function fails, or gives no finite number for each row.
        """
        answers = np.asarray(p, dtype=np.float64).reshape(len(y), -1)
        given = {
            "rows": self.rows,
            "truth": self._said(task, np.asarray(y)),
            "decided": self._said(task, decide(task, answers, threshold)),
            "answers": answers if task == "multiclass" else answers[:, 0],
        }
        return mean_of(_values(self.function(given), self.name, len(y)))

    def _said(self, task: Task, codes: NDArray[Any]) -> NDArray[Any]:
        if task == "regression":
            return codes.astype(np.float64)
        return codes == 1 if task == "binary" else np.array(self.classes, dtype=object)[codes.astype(np.int64)]


def measures_of(project: Project, rows: pd.DataFrame, classes: tuple[str, ...] | None) -> dict[str, Metric]:
    """Return the metrics of the project's task by name, then the owner's own, bound to the validated `rows` (n, …).

    Raises:
        InvalidFileError: a function of the owner's cannot be imported, or asks for something that there is not.
    """
    spec, known = project.spec, {metric.name: metric for metric in metrics_of(project.spec.task)}
    function: Function | None = None
    if isinstance(spec.threshold, ThresholdSpec) and spec.threshold.cost is not None:
        function = _priced(spec.threshold.cost)
    elif isinstance(spec.threshold, ThresholdSpec) and spec.threshold.costs is not None and classes is not None:
        function = _priced_classes(spec.threshold.matrix(classes), classes)
    if function is not None:
        known[COST] = RowMetric(COST, "mean cost", False, {}, rows=rows, function=function, classes=classes)
    for name, asked in spec.business.items():
        known[name] = RowMetric(
            name,
            _label(name, asked),
            asked.greater_is_better,
            {},
            rows=rows,
            function=_loaded(project, name, asked),
            classes=classes,
        )
    return known


def _label(name: str, asked: BusinessMetric) -> str:
    label = asked.label or name.replace("_", " ").replace("-", " ")
    return f"{label} ({asked.unit} a row)" if asked.unit else label


def _priced(matrix: CostMatrix) -> Function:
    prices = np.array([[matrix.rejection, matrix.false_alarm], [matrix.miss, matrix.hit]])
    return lambda given: prices[given["truth"].astype(int), given["decided"].astype(int)]


def _priced_classes(matrix: Matrix, classes: tuple[str, ...]) -> Function:
    prices, place = np.array(matrix), pd.Index(classes)
    return lambda given: prices[place.get_indexer(given["truth"]), place.get_indexer(given["decided"])]


def _loaded(project: Project, name: str, asked: BusinessMetric) -> Function:
    """Return the owner's function, given only the arguments that it names."""
    place = f"business.{name}"
    function = project.load_owners(asked.function, place)
    wanted = tuple(inspect.signature(function).parameters)
    unknown = [each for each in wanted if each not in INPUTS]
    if unknown:
        raise InvalidFileError(
            f"{SPEC}: {place}: {asked.function} asks for {', '.join(unknown)}",
            why=f"There are {', '.join(INPUTS)}.",
            hint="Name its arguments so; it gets those that it names.",
        )

    def call(given: Mapping[str, Any]) -> Any:  # noqa: ANN401 (the owner's code may return anything)
        try:
            return function(**{each: given[each] for each in wanted})
        except Exception as error:
            raise InvalidFileError(
                f"{SPEC}: {place}: {asked.function} failed", why=f"{type(error).__name__}: {error}"
            ) from error

    return call


def _values(returned: Any, name: str, rows: int) -> NDArray[np.float64]:  # noqa: ANN401 (as above)
    try:
        values = np.asarray(returned, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(values) != rows or not np.isfinite(values).all():
        raise InvalidFileError(
            f"{SPEC}: business.{name}: the function gives no finite number for each row",
            why=f"{rows:,} rows were handed over, {int(np.isfinite(values).sum()):,} finite numbers came back.",
            hint="Return one number for each row; their mean is the metric.",
        )
    return values
