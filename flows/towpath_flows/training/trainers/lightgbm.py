"""LightGBM: leaf-wise trees, with thresholds that survive the float32 of the served graph."""

import re
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_flows.training.trainers.base import Data, Fitted, OnRound, Params, Setting, cores, loss, proba
from towpath_flows.training_spec import Range, Space, Value

_OBJECTIVES = {
    "binary": ("binary", "auc"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "rmse"),
}
FILE = "booster.txt"
_TUNABLE: Final = frozenset(
    {
        "colsample_bytree",
        "extra_trees",
        "feature_fraction_bynode",
        "learning_rate",
        "max_bin",
        "max_delta_step",
        "max_depth",
        "min_child_samples",
        "min_child_weight",
        "min_data_in_bin",
        "min_split_gain",
        "num_leaves",
        "path_smooth",
        "reg_alpha",
        "reg_lambda",
        "subsample",
    }
)


def defaults() -> dict[str, Value]:
    """Return parameters that do well on most tables."""
    return {
        "learning_rate": 0.1,
        "num_leaves": 31,
        "min_child_samples": 50,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
    }


def space() -> Space:
    """Return where parameters are looked for."""
    return {
        "learning_rate": Range(low=0.03, high=0.3, log=True),
        "num_leaves": Range(low=8, high=128, log=True),
        "min_child_samples": Range(low=10, high=300, log=True),
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
    import lightgbm  # noqa: PLC0415 (heavy)

    kind: Any = lightgbm.LGBMRegressor if setting.task == "regression" else lightgbm.LGBMClassifier
    metric = metric_of(setting)
    estimator = kind(**settings_of(setting, train.monotone), n_jobs=setting.threads or cores(), **params)
    callbacks: list[Any] = [lightgbm.early_stopping(setting.patience, verbose=False)] if validation else []
    if on_round:
        callbacks.append(lambda env: on_round(env.iteration, loss(metric, env.evaluation_result_list[0][2])))
    estimator.fit(
        train.x,
        train.y,
        sample_weight=train.weights,
        eval_sample_weight=[validation.weights] if validation and validation.weights is not None else None,
        eval_X=validation.x if validation else None,
        eval_y=validation.y if validation else None,
        callbacks=callbacks,
    )
    if validation is None:
        return Fitted(rounded(estimator), setting.rounds, float("nan"))
    return Fitted(estimator, int(estimator.best_iteration_), loss(metric, estimator.best_score_["valid_0"][metric]))


def metric_of(setting: Setting) -> str:
    """Return the library's name of what is measured on the validation rows."""
    return _OBJECTIVES[setting.task][1]


def settings_of(setting: Setting, monotone: tuple[int, ...]) -> dict[str, Any]:
    """Return what an estimator is made with besides its parameters and threads."""
    return {
        "objective": _OBJECTIVES[setting.task][0],
        "metric": metric_of(setting),
        "n_estimators": setting.rounds,
        "subsample_freq": 1,
        "random_state": setting.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "monotone_constraints": list(monotone) or None,
    }


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


def rounded(estimator: Any) -> Any:  # noqa: ANN401 (untyped library)
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
