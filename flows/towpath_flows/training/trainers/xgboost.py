"""XGBoost: histogram trees, missing values in a branch of their own."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_flows.training.trainers.base import Data, Fitted, OnRound, Params, Setting, cores, loss, proba
from towpath_flows.training_spec import Range, Space, Value

_OBJECTIVES = {
    "binary": ("binary:logistic", "auc"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "regression": ("reg:squarederror", "rmse"),
}
FILE = "booster.ubj"
_TUNABLE: Final = frozenset(
    {
        "colsample_bylevel",
        "colsample_bynode",
        "colsample_bytree",
        "gamma",
        "grow_policy",
        "learning_rate",
        "max_bin",
        "max_delta_step",
        "max_depth",
        "max_leaves",
        "min_child_weight",
        "num_parallel_tree",
        "reg_alpha",
        "reg_lambda",
        "subsample",
    }
)


def defaults() -> dict[str, Value]:
    """Return parameters that do well on most tables."""
    return {
        "learning_rate": 0.1,
        "max_depth": 6,
        "min_child_weight": 10.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
    }


def space() -> Space:
    """Return where parameters are looked for."""
    return {
        "learning_rate": Range(low=0.03, high=0.3, log=True),
        "max_depth": Range(low=3, high=9),
        "min_child_weight": Range(low=1.0, high=100.0, log=True),
        "subsample": Range(low=0.5, high=1.0),
        "colsample_bytree": Range(low=0.4, high=1.0),
        "reg_lambda": Range(low=0.1, high=10.0, log=True),
    }


def tunable() -> frozenset[str]:
    """Return the names of all parameters that an owner may search or fix."""
    return _TUNABLE


def fit(
    train: Data, validation: Data | None, params: Params, setting: Setting, on_round: OnRound | None = None
) -> Fitted:
    """Fit; see `towpath_flows.training.trainers.base.Trainer`."""
    metric = metric_of(setting)
    told = [_teller(on_round, metric)] if on_round else None
    estimator = estimator_of(setting, params, train.monotone, stops=validation is not None, callbacks=told)
    judged: dict[str, Any] = {"eval_set": [(validation.x, validation.y)]} if validation else {}
    if validation and validation.weights is not None:
        judged["sample_weight_eval_set"] = [validation.weights]
    estimator.fit(train.x, train.y, sample_weight=train.weights, verbose=False, **judged)
    if validation is None:
        return Fitted(estimator, setting.rounds, float("nan"))
    return Fitted(estimator, int(estimator.best_iteration) + 1, loss(metric, estimator.best_score))


def metric_of(setting: Setting) -> str:
    """Return the library's name of what is measured on the validation rows."""
    return _OBJECTIVES[setting.task][1]


def estimator_of(
    setting: Setting, params: Params, monotone: tuple[int, ...], *, stops: bool, callbacks: list[Any] | None = None
) -> Any:  # noqa: ANN401 (untyped library)
    """Return the unfitted estimator; it `stops` early where there are rows to judge."""
    import xgboost  # noqa: PLC0415 (heavy)

    kind: Any = xgboost.XGBRegressor if setting.task == "regression" else xgboost.XGBClassifier
    return kind(
        objective=_OBJECTIVES[setting.task][0],
        eval_metric=metric_of(setting),
        n_estimators=setting.rounds,
        early_stopping_rounds=setting.patience if stops else None,
        tree_method="hist",
        n_jobs=setting.threads or cores(),
        random_state=setting.seed,
        verbosity=0,
        monotone_constraints=monotone or None,
        callbacks=callbacks,
        **params,
    )


def _teller(on_round: OnRound, metric: str) -> Any:  # noqa: ANN401 (XGBoost's class, made here as its import is heavy)
    from xgboost.callback import TrainingCallback  # noqa: PLC0415 (heavy)

    class Teller(TrainingCallback):
        """Tells the loss of each round."""

        def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401 (as above)
            """Return False: whoever is told stops a fit by raising."""
            on_round(epoch, loss(metric, evals_log["validation_0"][metric][-1]))
            return False

    return Teller()


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
