"""LightGBM over workers: data-parallel trees by its own Dask estimators."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from towpath_flows.training.trainers.base import Fitted, Params, Setting, loss
from towpath_flows.training.trainers.clustered.base import Job
from towpath_flows.training.trainers.lightgbm import metric_of, rounded, settings_of

# What the text of a model tells of the cluster: addresses that are nobody's business, and differ from fit to fit.
_OF_THE_CLUSTER: Final = {"machines": "", "local_listen_port": "12400", "num_machines": "1", "time_out": "120"}


def fit(job: Job, params: Params, setting: Setting) -> Fitted:
    """Fit on the workers; see `towpath_flows.training.trainers.clustered.base.ClusterFit`."""
    import lightgbm  # noqa: PLC0415 (heavy)

    kind: Any = lightgbm.DaskLGBMRegressor if setting.task == "regression" else lightgbm.DaskLGBMClassifier
    machines = {"machines": _machines(job.workers, job.ports)} if job.ports else {}
    spread = kind(client=job.client, **settings_of(setting, job.monotone), **machines, **params)
    judged = job.validation
    more: dict[str, Any] = {}
    if judged is not None:
        stop = lightgbm.early_stopping(setting.patience, verbose=False)
        weights = None if judged.weights is None else [judged.weights]
        more = {"eval_X": judged.x, "eval_y": judged.y, "eval_sample_weight": weights, "callbacks": [stop]}
    spread.fit(job.train.x, job.train.y, sample_weight=job.train.weights, **more)
    estimator = rounded(_local(spread))
    if judged is None:
        return Fitted(estimator, setting.rounds, float("nan"))
    best = spread.best_score_["valid_0"][metric_of(setting)]
    return Fitted(estimator, int(spread.best_iteration_), loss(metric_of(setting), best))


def _local(spread: Any) -> Any:  # noqa: ANN401 (untyped library)
    """Return an estimator that knows no cluster."""
    import lightgbm  # noqa: PLC0415 (heavy)

    estimator = spread.to_local()
    estimator._Booster = lightgbm.Booster(model_str=without_cluster(estimator.booster_.model_to_string()))  # noqa: SLF001 (there is no public way in)
    return estimator


def without_cluster(text: str) -> str:
    """Return the text of a LightGBM model without the addresses and ports of the workers that fitted it."""
    for name, default in _OF_THE_CLUSTER.items():
        text = re.sub(rf"^\[{name}: .*\]$", f"[{name}: {default}]", text, flags=re.MULTILINE)
    return text


def _machines(workers: tuple[str, ...], first: int) -> str:
    """Return where LightGBM's workers listen: on each machine from the port `first` on, one for each worker there."""
    taken: dict[str, int] = {}
    places = []
    for worker in workers:
        host = urlsplit(worker).hostname or ""
        places.append(f"{host}:{first + taken.get(host, 0)}")
        taken[host] = taken.get(host, 0) + 1
    return ",".join(places)
