"""XGBoost over workers: each builds the histograms of its own rows, and they add them up (`xgboost.dask`)."""

from towpath_flows.training.trainers.base import Fitted, Params, Setting, loss
from towpath_flows.training.trainers.clustered.base import Job
from towpath_flows.training.trainers.xgboost import estimator_of, metric_of


def fit(job: Job, params: Params, setting: Setting) -> Fitted:
    """Fit on the workers; see `towpath_flows.training.trainers.clustered.base.ClusterFit`."""
    import xgboost.dask as over  # noqa: PLC0415 (heavy)

    estimator = estimator_of(setting, params, job.monotone, stops=False)
    matrix, *judges = (
        over.DaskDMatrix(job.client, rows.x, rows.y, weight=rows.weights)
        for rows in (job.train, job.validation)
        if rows
    )
    found = over.train(
        job.client,
        _settings(estimator.get_xgb_params(), setting),
        matrix,
        num_boost_round=setting.rounds,
        evals=[(judge, "validation") for judge in judges] or None,
        early_stopping_rounds=setting.patience if judges else None,
        verbose_eval=False,
    )
    estimator.load_model(bytearray(found["booster"].save_raw(raw_format="ubj")))
    if not judges:
        return Fitted(estimator, setting.rounds, float("nan"))
    score = float(found["booster"].attr("best_score"))
    return Fitted(estimator, int(estimator.best_iteration) + 1, loss(metric_of(setting), score))


def _settings(found: dict[str, object], setting: Setting) -> dict[str, object]:
    """Return the estimator's own settings as the booster takes them; threads are the worker's."""
    kept = {
        name: value for name, value in found.items() if value is not None and name not in {"n_jobs", "n_estimators"}
    }
    more = {"num_class": setting.classes} if setting.task == "multiclass" else {}
    return {**kept, "eval_metric": metric_of(setting), **more}
