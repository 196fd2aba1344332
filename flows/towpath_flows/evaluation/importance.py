"""Which columns a model listens to: asked of the trees (SHAP), and of the engine that serves (shuffling)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines.native import dense
from towpath_flows.data.coercion import replaced
from towpath_flows.evaluation.metrics import metrics_of
from towpath_gitops.records.importance import MOST_COLUMNS, ColumnImportance, Importance
from towpath_gitops.records.signature import Task

if TYPE_CHECKING:
    from towpath_flows.training import Model

ROWS: Final = 4000  # a sample is enough: importance is read in whole hundredths
SHAP_ROWS: Final = 1000
_PROBES: Final = 50  # rows on which it is asked which features a column moves
_SHUFFLED: Final = 60  # columns at most, those with the greatest SHAP values: of wide tables the rest is noise
_MOST_SHAP_COLUMNS: Final = 1000  # of wider tables it would take minutes

Floats = NDArray[np.float64]
Predict = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]


def permutation_importance(  # noqa: PLR0913 (a measurement needs its model, rows and truth)
    task: Task,
    predict: Predict,
    columns: Mapping[str, NDArray[Any]],
    y: NDArray[Any],
    *,
    seed: int = 0,
    names: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """Return, greatest first, how much worse the task's own metric gets when one column (n, 1) is shuffled.

    Breiman (2001), *Random Forests*. Columns that say the same share their importance: each covers for the other. Only
    the columns `names` are shuffled; by default all.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(y))[:ROWS])
    sample, truth = {name: values[chosen] for name, values in columns.items()}, y[chosen]
    metric = metrics_of(task)[0]
    whole = metric.measure(task, truth, predict(sample))
    shuffled = random.permutation(len(chosen))
    lost = {
        name: metric.sign * (whole - metric.measure(task, truth, predict({**sample, name: sample[name][shuffled]})))
        for name in (columns if names is None else names)
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1]))


def importance(  # noqa: PLR0913 (as above)
    model: "Model",
    predict: Predict,
    x: pd.DataFrame,
    columns: Mapping[str, NDArray[Any]],
    y: NDArray[Any],
    *,
    seed: int,
) -> Importance:
    """Return how much each input counts on rows `x` (n, …), `columns` (each (n, 1)) with the truth `y` (n,).

    SHAP values are the trees' own (`pred_contribs` of XGBoost, `pred_contrib` of LightGBM: exact TreeSHAP, Lundberg et
    al. 2020), so that no other library is needed. Those of transformed features are brought back to the columns that
    they are made of.
    """
    chosen = np.unique(np.linspace(0, len(x) - 1, SHAP_ROWS).astype(int))
    sample = x.iloc[chosen].reset_index(drop=True)
    shap = _of_columns(model, sample) if x.shape[1] <= _MOST_SHAP_COLUMNS else {}
    sizes = {name: float(np.abs(values).mean()) for name, values in shap.items()}
    ranked = sorted(sizes or columns, key=lambda name: -sizes.get(name, 0.0))
    shuffled = permutation_importance(
        model.signature.task, predict, columns, y, seed=seed, names=tuple(ranked[:_SHUFFLED])
    )
    known = {
        name: ColumnImportance(
            column=name,
            shap=sizes.get(name),
            direction=_direction(sample[name], shap[name]) if name in shap else None,
            loss=shuffled[name] if np.isfinite(shuffled.get(name, np.nan)) else None,
        )
        for name in (ranked if sizes else shuffled)
    }
    return Importance(rows=len(sample), source=model.framework, columns=tuple(known.values())[:MOST_COLUMNS])


def contributions(model: "Model", matrix: NDArray[np.float32]) -> Floats:
    """Return the SHAP values of transformed rows (n, m): (n, m, k), k = 1 but for many classes; without the base."""
    if model.framework == "xgboost":
        import xgboost  # noqa: PLC0415 (heavy)

        booster = model.estimator.get_booster()
        given = np.asarray(booster.predict(xgboost.DMatrix(matrix), pred_contribs=True, validate_features=False))
        wide = given if given.ndim == 3 else given[:, None, :]  # noqa: PLR2004 (rows, classes, features)
        return np.asarray(wide[:, :, :-1].transpose(0, 2, 1), dtype=np.float64)
    flat = np.asarray(model.estimator.booster_.predict(matrix, pred_contrib=True), dtype=np.float64)
    wide = flat.reshape(len(matrix), -1, matrix.shape[1] + 1)
    return np.asarray(wide[:, :, :-1].transpose(0, 2, 1))


def _of_columns(model: "Model", x: pd.DataFrame) -> dict[str, Floats]:
    """Return the SHAP values of each input (n, k): summed over its features, and its share of those of several."""
    values = contributions(model, dense(model.pipeline.transform(x)))
    made_of = _made_of(model, x)
    shares = made_of / np.maximum(made_of.sum(axis=1, keepdims=True), 1)
    return {str(name): np.einsum("nmk,m->nk", values, shares[:, index]) for index, name in enumerate(x.columns)}


def _made_of(model: "Model", x: pd.DataFrame) -> Floats:
    """Return which features (m, c) move with which columns: 1 or 0.

    The transformer may be the owner's own, so nothing is read from its names. It is asked: each column is exchanged
    among rows while all others stand still.
    """
    probes = x.iloc[np.unique(np.linspace(0, len(x) - 1, _PROBES).astype(int))].reset_index(drop=True)
    base = dense(model.pipeline.transform(probes))
    moved = np.zeros((base.shape[1], probes.shape[1]))
    for index, name in enumerate(probes.columns):
        other = x[name].iloc[np.argsort(x[name].to_numpy(), kind="stable")]
        spread = other.iloc[np.linspace(0, len(other) - 1, len(probes)).astype(int)].to_numpy()
        for values in (spread, spread[::-1]):
            changed = dense(model.pipeline.transform(replaced(probes, {str(name): values})))
            moved[:, index] += ~((changed == base) | (np.isnan(changed) & np.isnan(base))).all(axis=0)
    return np.asarray(moved > 0, dtype=np.float64)


def _direction(values: "pd.Series[Any]", shap: Floats) -> float | None:
    """Return the correlation of a column of numbers with its SHAP values; None for words and many classes."""
    if values.dtype == object or shap.shape[1] > 1:
        return None
    numbers = values.to_numpy(dtype=np.float64)
    known = np.isfinite(numbers)
    if known.sum() < 3 or not np.ptp(numbers[known]) or not np.ptp(shap[known, 0]):  # noqa: PLR2004 (fewer have none)
        return None
    return float(np.clip(np.corrcoef(numbers[known], shap[known, 0])[0, 1], -1, 1))
