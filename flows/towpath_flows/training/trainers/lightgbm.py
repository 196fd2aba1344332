"""LightGBM: leaf-wise trees, with thresholds that survive the float32 of the served graph."""

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from towpath_flows.training.trainers.base import Data, Fitted, Params, Setting, cores, loss, proba

if TYPE_CHECKING:
    import optuna

_OBJECTIVES = {
    "binary": ("binary", "auc"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "rmse"),
}
FILE = "booster.txt"


def defaults() -> dict[str, float | int]:
    """Return parameters that do well on most tables."""
    return {
        "learning_rate": 0.1,
        "num_leaves": 31,
        "min_child_samples": 50,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
    }


def suggest(trial: "optuna.Trial") -> dict[str, float | int]:
    """Return parameters that a trial proposes."""
    return {
        "learning_rate": trial.suggest_float("lightgbm.learning_rate", 0.03, 0.3, log=True),
        "num_leaves": trial.suggest_int("lightgbm.num_leaves", 8, 128, log=True),
        "min_child_samples": trial.suggest_int("lightgbm.min_child_samples", 10, 300, log=True),
        "subsample": trial.suggest_float("lightgbm.subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("lightgbm.colsample_bytree", 0.4, 1.0),
        "reg_lambda": trial.suggest_float("lightgbm.reg_lambda", 0.1, 10.0, log=True),
    }


def fit(train: Data, validation: Data | None, params: Params, setting: Setting) -> Fitted:
    """Fit; see `towpath_flows.training.trainers.base.Trainer`."""
    import lightgbm  # noqa: PLC0415 (heavy)

    objective, metric = _OBJECTIVES[setting.task]
    kind: Any = lightgbm.LGBMRegressor if setting.task == "regression" else lightgbm.LGBMClassifier
    estimator = kind(
        objective=objective,
        metric=metric,
        n_estimators=setting.rounds,
        subsample_freq=1,
        n_jobs=cores(),
        random_state=setting.seed,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
        **params,
    )
    callbacks = [lightgbm.early_stopping(setting.patience, verbose=False)] if validation else []
    estimator.fit(
        train.x,
        train.y,
        eval_X=validation.x if validation else None,
        eval_y=validation.y if validation else None,
        callbacks=callbacks,
    )
    if validation is None:
        return Fitted(_rounded(estimator), setting.rounds, float("nan"))
    return Fitted(estimator, int(estimator.best_iteration_), loss(metric, estimator.best_score_["valid_0"][metric]))


def predict(estimator: Any, x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:  # noqa: ANN401 (untyped library)
    """Return (n, k); see `towpath_flows.training.trainers.base.Trainer`."""
    with warnings.catch_warnings():
        # LightGBM names the columns of a plain array itself, and scikit-learn then misses them.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return proba(estimator, x)


def save(estimator: Any) -> tuple[str, bytes]:  # noqa: ANN401 (untyped library)
    """Return the booster as LightGBM's text."""
    return FILE, estimator.booster_.model_to_string().encode()


def register() -> None:
    """Tell skl2onnx how to turn LightGBM's estimators into graphs."""
    import lightgbm  # noqa: PLC0415 (heavy)
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415 (heavy)
    from skl2onnx import update_registered_converter  # noqa: PLC0415 (heavy)
    from skl2onnx.common.shape_calculator import (  # noqa: PLC0415 (heavy)
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    update_registered_converter(
        lightgbm.LGBMClassifier,
        "TowpathLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    update_registered_converter(
        lightgbm.LGBMRegressor,
        "TowpathLGBMRegressor",
        calculate_linear_regressor_output_shapes,
        convert_lightgbm,
        options={"split": [None, -1]},
    )


def _rounded(estimator: Any) -> Any:  # noqa: ANN401 (untyped library)
    """Replace the estimator's booster by one whose thresholds are float32.

    ONNX keeps thresholds as float32 and rounds to the nearest; LightGBM's doubles then lie on the other side of some
    rows. Rounded *down*, no float32 value changes sides: x ≤ t is x ≤ floor32(t) for every float32 x.
    """
    import lightgbm  # noqa: PLC0415 (heavy)

    text = round_thresholds(estimator.booster_.model_to_string())
    estimator._Booster = lightgbm.Booster(model_str=text)  # noqa: SLF001 (there is no public way in)
    return estimator


def round_thresholds(text: str) -> str:
    """Return the text of a LightGBM model with each threshold rounded down to a float32.

    The line `tree_sizes` counts bytes that no longer hold; without it LightGBM reads the trees one after another.
    """
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^threshold=(.*)$", lambda line: f"threshold={_floor32(line[1])}", text, flags=re.MULTILINE)


def _floor32(thresholds: str) -> str:
    exact = np.array(thresholds.split(), dtype=np.float64)
    nearest = exact.astype(np.float32)
    down = np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return " ".join(repr(float(value)) for value in down)
