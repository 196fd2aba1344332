"""The table of metrics, each defined once for the rows as they are and for every resample of them.

A metric is prepared on `y` (n,) and `p` (n, k) and then asked for its value under row counts (b, n): all ones give the
estimate, bootstrap counts give its resamples (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993). Nothing is
sorted or thresholded more than once, so that 2,000 resamples of 30,000 rows take about a second.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento import deciding
from towpath_bento.deciding import Rule
from towpath_flows.evaluation.draws import Counts
from towpath_gitops.records.signature import Task

Floats = NDArray[np.float64]
# Row counts (b, n), how often each row occurs in each resample → values (b,); NaN where a resample has no answer.
Prepared = Callable[[Counts], Floats]
Prepare = Callable[[Floats, Floats, Rule], Prepared]  # y (n,), p (n, k), threshold

BINS: Final = 10  # of equal width, for the calibration error
TINY: Final = 1e-15  # probabilities are clipped by this before a logarithm, as scikit-learn did


@dataclass(frozen=True)
class Metric:
    """One measure: its name, the label for people, the direction that is better, and how it is computed by task."""

    name: str
    label: str
    greater_is_better: bool
    tasks: Mapping[Task, Prepare]
    in_target_units: bool = False

    looks_at_rows: ClassVar[bool] = False  # whether it needs more of a row than truth and answer

    @property
    def sign(self) -> float:
        """+1 where greater is better, -1 where less is."""
        return 1.0 if self.greater_is_better else -1.0

    def of(self, chosen: NDArray[Any]) -> "Metric":  # noqa: ARG002 (metrics that look at rows need it)
        """Return the metric of some of the rows: itself, as it looks at nothing but truth and answers."""
        return self

    def prepare(self, task: Task, y: NDArray[np.generic], p: NDArray[np.generic], threshold: Rule = 0.5) -> Prepared:
        """Return the metric of the truth `y` (n,) and the answers `p` (n, k) as a function of row counts.

        `y` holds class codes 0 … k-1, or values for regression. `threshold` decides binary labels.

        Raises:
            KeyError: the metric does not measure this task.
        """
        answers = np.asarray(p, dtype=np.float64).reshape(len(y), -1)
        return self.tasks[task](np.asarray(y, dtype=np.float64), answers, threshold)

    def measure(self, task: Task, y: NDArray[np.generic], p: NDArray[np.generic], threshold: Rule = 0.5) -> float:
        """Return the metric on the rows as they are; NaN where it is not defined, as ROC AUC of one class."""
        return float(self.prepare(task, y, p, threshold)(np.ones((1, len(y))))[0])


def decide(task: Task, p: NDArray[Any], threshold: Rule = 0.5) -> Floats:
    """Return the decision (n,) that the answers (n, k) lead to: a class code, or the value for regression."""
    if task == "regression":
        return np.asarray(p[:, 0], dtype=np.float64)
    return deciding.decide(task, p, threshold).astype(np.float64)


def _roc_auc(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counted half (Hanley & McNeil 1982).

    For each positive row the negatives below it are looked up in the running sum over the sorted negatives.
    """
    positives, negatives = (_rows_by_answer(p[:, 0], y == code) for code in (1, 0))
    below = np.searchsorted(p[negatives, 0], p[positives, 0], side="left")
    through = np.searchsorted(p[negatives, 0], p[positives, 0], side="right")
    tied = not np.array_equal(below, through)

    def values(counts: Counts) -> Floats:
        drawn = np.take(counts, positives, axis=1)
        running = _running(np.take(counts, negatives, axis=1))
        won = _dot(drawn, np.take(running, below, axis=1))
        if tied:
            won = 0.5 * (won + _dot(drawn, np.take(running, through, axis=1)))
        return _ratio(won, drawn.sum(axis=1, dtype=np.float64) * running[:, -1])

    return values


def _rows_by_answer(p: Floats, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices of the chosen rows in the order of rising `p`."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(p[rows], kind="stable")]


def _running(counts: Counts) -> NDArray[np.int32]:
    """Return the sums (b, n + 1) of the first 0, 1, … n counts: of whole numbers, which add four times as fast."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), dtype=np.int32)
    np.cumsum(counts.astype(np.int32), axis=1, out=sums[:, 1:], dtype=np.int32)
    return sums


def _dot(left: Counts, right: Counts) -> Floats:
    """Return the products of matching rows (b,)."""
    return np.asarray(np.einsum("bn,bn->b", left.astype(np.float64), right.astype(np.float64)))


def _average_precision(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Sum over thresholds of precision times the recall gained there, without interpolation (as scikit-learn)."""
    order = np.argsort(-p[:, 0], kind="stable")
    starts = np.flatnonzero(np.diff(p[order, 0], prepend=np.nan) != 0)
    positive = np.flatnonzero(y[order] == 1)
    last = np.append(starts[1:], len(y))[np.searchsorted(starts, positive, side="right") - 1] - 1
    hits = np.searchsorted(positive, last, side="right") - 1  # the last positive that shares the answer

    def values(counts: Counts) -> Floats:
        ordered = np.take(counts, order, axis=1)
        above = _running(ordered)
        drawn = np.take(ordered, positive, axis=1)
        found = _running(drawn)
        precision = np.take(found, hits + 1, axis=1) / np.maximum(np.take(above, last + 1, axis=1), 1.0)
        return _ratio(_dot(drawn, precision), drawn.sum(axis=1, dtype=np.float64))

    return values


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _sums(columns: Floats, finish: Callable[[Floats], Floats]) -> Prepared:
    """Prepare a metric that is a function of sums over rows: of `columns` (n, m)."""
    return lambda counts: finish(counts.astype(np.float64) @ columns)


def mean_of(losses: Floats, finish: Callable[[Floats], Floats] = lambda mean: mean) -> Prepared:
    """Prepare the mean over rows of what each row counts, (n,), or a function of it."""
    return _sums(np.column_stack([losses, np.ones(len(losses))]), lambda sums: finish(_ratio(sums[:, 0], sums[:, 1])))


def _binary_log_loss(y: Floats, p: Floats, _: Rule) -> Prepared:
    chance = np.clip(p[:, 0], TINY, 1 - TINY)
    return mean_of(-np.where(y == 1, np.log(chance), np.log1p(-chance)))


def _multiclass_log_loss(y: Floats, p: Floats, _: Rule) -> Prepared:
    chosen = p[np.arange(len(y)), y.astype(np.int64)] / p.sum(axis=1)
    return mean_of(-np.log(np.clip(chosen, TINY, 1.0)))


def _calibration_error(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Expected calibration error over ten bins of equal width (Naeini, Cooper & Hauskrecht 2015)."""
    bins = np.minimum((p[:, 0] * BINS).astype(np.int64), BINS - 1)
    gaps = np.eye(BINS)[bins] * (p[:, 0] - y)[:, None]
    return _sums(
        np.column_stack([gaps, np.ones(len(y))]), lambda sums: _ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])
    )


def top_label(y: NDArray[Any], p: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return whether the class that is decided for came true (n,), and the chance that it was given (n,)."""
    best = p.argmax(axis=1)
    return (best == y).astype(np.float64), np.asarray(p[np.arange(len(y)), best], dtype=np.float64)


def _top_label_calibration(y: Floats, p: Floats, threshold: Rule) -> Prepared:
    """Calibration of the chance of the class that is decided for (Guo et al. 2017)."""
    right, chance = top_label(y, p)
    return _calibration_error(right, chance[:, None], threshold)


def _one_against_rest(y: Floats, p: Floats, threshold: Rule) -> Prepared:
    """Mean over the classes of the ROC AUC of each against all others (Hand & Till 2001 name it a macro average)."""
    each = [_roc_auc((y == code).astype(np.float64), p[:, [code]], threshold) for code in range(p.shape[1])]

    def values(counts: Counts) -> Floats:
        areas = np.stack([area(counts) for area in each])
        known = np.isfinite(areas)
        return _ratio(np.where(known, areas, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))

    return values


def _multiclass_brier(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Squared distance from the truth, summed over the classes (Brier 1950): 0 to 2."""
    return mean_of(((p - np.eye(p.shape[1])[y.astype(np.int64)]) ** 2).sum(axis=1))


def _median_absolute_error(y: Floats, p: Floats, _: Rule) -> Prepared:
    errors = np.abs(p[:, 0] - y)
    order = np.argsort(errors, kind="stable")
    ordered = errors[order]

    def values(counts: Counts) -> Floats:
        passed = np.cumsum(np.take(counts, order, axis=1), axis=1)
        half = passed[:, -1:] / 2
        return np.asarray((ordered[(passed >= half).argmax(axis=1)] + ordered[(passed > half).argmax(axis=1)]) / 2)

    return values


def _mape(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Mean absolute error as a share of the truth, over the rows where that is not 0."""
    known = y != 0
    shares = np.divide(np.abs(p[:, 0] - y), np.abs(y), out=np.zeros_like(y), where=known)
    return _sums(np.column_stack([shares, known]), lambda sums: _ratio(sums[:, 0], sums[:, 1]))


def _confusion(task: Task, finish: Callable[[Floats], Floats]) -> Prepare:
    """Prepare a function of the confusion matrices (b, k, k): true class by decided class."""

    def prepare(y: Floats, p: Floats, threshold: Rule) -> Prepared:
        classes = max(p.shape[1], 2)
        cells = (y * classes + decide(task, p, threshold)).astype(np.int64)
        return _sums(np.eye(classes**2)[cells], lambda sums: finish(sums.reshape(-1, classes, classes)))

    return prepare


def _accuracy(matrix: Floats) -> Floats:
    return _ratio(np.trace(matrix, axis1=1, axis2=2), matrix.sum(axis=(1, 2)))


def _recalls(matrix: Floats) -> Floats:
    return _ratio(np.diagonal(matrix, axis1=1, axis2=2), matrix.sum(axis=2))


def _balanced_accuracy(matrix: Floats) -> Floats:
    """Mean recall over the classes that occur."""
    recalls = _recalls(matrix)
    return _ratio(np.nansum(recalls, axis=1), (~np.isnan(recalls)).sum(axis=1).astype(np.float64))


def _f1_by_class(matrix: Floats) -> Floats:
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    return _ratio(2 * hits, matrix.sum(axis=2) + matrix.sum(axis=1))


def _mcc(matrix: Floats) -> Floats:
    """Correlation of truth and decision: of many classes, Gorodkin (2004)."""
    rows, hits = matrix.sum(axis=(1, 2)), np.trace(matrix, axis1=1, axis2=2)
    truth, decided = matrix.sum(axis=2), matrix.sum(axis=1)
    spread = (rows**2 - (truth**2).sum(axis=1)) * (rows**2 - (decided**2).sum(axis=1))
    return _ratio(hits * rows - (truth * decided).sum(axis=1), np.sqrt(np.maximum(spread, 0)))


def _precision(matrix: Floats) -> Floats:
    return _ratio(matrix[:, 1, 1], matrix[:, :, 1].sum(axis=1))


def _r2(y: Floats, p: Floats, _: Rule) -> Prepared:
    """Share of the variance explained; sums are taken about the mean, so that large values lose no digits."""
    truth, error = y - y.mean(), y - p[:, 0]

    def finish(sums: Floats) -> Floats:
        spread = sums[:, 1] - _ratio(sums[:, 0] ** 2, sums[:, 3])
        return 1 - _ratio(sums[:, 2], spread)

    return _sums(np.column_stack([truth, truth**2, error**2, np.ones(len(y))]), finish)


_TABLE = (
    Metric("roc_auc", "ROC AUC", True, {"binary": _roc_auc, "multiclass": _one_against_rest}),
    Metric("average_precision", "average precision", True, {"binary": _average_precision}),
    Metric("log_loss", "log loss", False, {"binary": _binary_log_loss, "multiclass": _multiclass_log_loss}),
    Metric(
        "brier",
        "Brier score",
        False,
        {"binary": lambda y, p, _: mean_of((p[:, 0] - y) ** 2), "multiclass": _multiclass_brier},
    ),
    Metric(
        "calibration_error",
        "calibration error",
        False,
        {"binary": _calibration_error, "multiclass": _top_label_calibration},
    ),
    Metric(
        "accuracy",
        "accuracy",
        True,
        {"binary": _confusion("binary", _accuracy), "multiclass": _confusion("multiclass", _accuracy)},
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        True,
        {
            "binary": _confusion("binary", _balanced_accuracy),
            "multiclass": _confusion("multiclass", _balanced_accuracy),
        },
    ),
    Metric(
        "f1",
        "F1",
        True,
        {
            "binary": _confusion("binary", lambda matrix: _f1_by_class(matrix)[:, 1]),
            "multiclass": _confusion("multiclass", lambda matrix: np.nanmean(_f1_by_class(matrix), axis=1)),
        },
    ),
    Metric("precision", "precision", True, {"binary": _confusion("binary", _precision)}),
    Metric("recall", "recall", True, {"binary": _confusion("binary", lambda matrix: _recalls(matrix)[:, 1])}),
    Metric("specificity", "specificity", True, {"binary": _confusion("binary", lambda matrix: _recalls(matrix)[:, 0])}),
    Metric(
        "mcc",
        "Matthews correlation",
        True,
        {"binary": _confusion("binary", _mcc), "multiclass": _confusion("multiclass", _mcc)},
    ),
    Metric("rmse", "RMSE", False, {"regression": lambda y, p, _: mean_of((p[:, 0] - y) ** 2, np.sqrt)}, True),
    Metric("mae", "mean absolute error", False, {"regression": lambda y, p, _: mean_of(np.abs(p[:, 0] - y))}, True),
    Metric("r2", "R²", True, {"regression": _r2}),
    Metric("median_absolute_error", "median absolute error", False, {"regression": _median_absolute_error}, True),
    Metric("mape", "mean absolute percentage error", False, {"regression": _mape}),
    Metric("bias", "absolute bias", False, {"regression": lambda y, p, _: mean_of(p[:, 0] - y, np.abs)}, True),
)

METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _TABLE}


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """Return the metrics that measure a task, in the order of the table; the first is the task's own."""
    return tuple(metric for metric in _TABLE if task in metric.tasks)
