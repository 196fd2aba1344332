"""XGBoost: histogram trees, missing values in a branch of their own."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from towpath_flows.training.trainers.base import Data, Fitted, Params, Setting, cores, loss, proba

if TYPE_CHECKING:
    import optuna

_OBJECTIVES = {
    "binary": ("binary:logistic", "auc"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "regression": ("reg:squarederror", "rmse"),
}
FILE = "booster.ubj"


def defaults() -> dict[str, float | int]:
    """Return parameters that do well on most tables."""
    return {
        "learning_rate": 0.1,
        "max_depth": 6,
        "min_child_weight": 10.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
    }


def suggest(trial: "optuna.Trial") -> dict[str, float | int]:
    """Return parameters that a trial proposes."""
    return {
        "learning_rate": trial.suggest_float("xgboost.learning_rate", 0.03, 0.3, log=True),
        "max_depth": trial.suggest_int("xgboost.max_depth", 3, 9),
        "min_child_weight": trial.suggest_float("xgboost.min_child_weight", 1.0, 100.0, log=True),
        "subsample": trial.suggest_float("xgboost.subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("xgboost.colsample_bytree", 0.4, 1.0),
        "reg_lambda": trial.suggest_float("xgboost.reg_lambda", 0.1, 10.0, log=True),
    }


def fit(train: Data, validation: Data | None, params: Params, setting: Setting) -> Fitted:
    """Fit; see `towpath_flows.training.trainers.base.Trainer`."""
    import xgboost  # noqa: PLC0415 (heavy)

    objective, metric = _OBJECTIVES[setting.task]
    kind: Any = xgboost.XGBRegressor if setting.task == "regression" else xgboost.XGBClassifier
    estimator = kind(
        objective=objective,
        eval_metric=metric,
        n_estimators=setting.rounds,
        early_stopping_rounds=setting.patience if validation else None,
        tree_method="hist",
        n_jobs=cores(),
        random_state=setting.seed,
        verbosity=0,
        **params,
    )
    estimator.fit(train.x, train.y, eval_set=[(validation.x, validation.y)] if validation else None, verbose=False)
    if validation is None:
        return Fitted(estimator, setting.rounds, float("nan"))
    return Fitted(estimator, int(estimator.best_iteration) + 1, loss(metric, estimator.best_score))


def predict(estimator: Any, x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:  # noqa: ANN401 (untyped library)
    """Return (n, k); see `towpath_flows.training.trainers.base.Trainer`."""
    return proba(estimator, x)


def save(estimator: Any) -> tuple[str, bytes]:  # noqa: ANN401 (untyped library)
    """Return the booster as UBJSON."""
    return FILE, bytes(estimator.get_booster().save_raw(raw_format="ubj"))


def register() -> None:
    """Tell skl2onnx how to turn XGBoost's estimators into graphs."""
    import xgboost  # noqa: PLC0415 (heavy)
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415 (heavy)
    from skl2onnx import update_registered_converter  # noqa: PLC0415 (heavy)
    from skl2onnx.common.shape_calculator import (  # noqa: PLC0415 (heavy)
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    update_registered_converter(
        xgboost.XGBClassifier,
        "TowpathXGBClassifier",
        calculate_linear_classifier_output_shapes,
        convert_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    update_registered_converter(
        xgboost.XGBRegressor, "TowpathXGBRegressor", calculate_linear_regressor_output_shapes, convert_xgboost
    )
