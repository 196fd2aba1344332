"""The same training on a Dask cluster of two worker processes: as good a model, found and fitted over both."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import sleep
from typing import get_args

import numpy as np
import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from towpath_flows import cluster as clusters
from towpath_flows.cluster import Cluster, opened
from towpath_flows.data import Splits
from towpath_flows.data.rules.leakage import auc
from towpath_flows.project import Project
from towpath_flows.runner import task_runner
from towpath_flows.training import TuneResult, fit, tune
from towpath_flows.training.benches import ClusterBench, LocalBench
from towpath_flows.training.preparation import Prepared
from towpath_flows.training.trainers import TRAINERS, Data, Fitted, Params, Setting
from towpath_flows.training.trainers.clustered import FITS, trainer_on
from towpath_flows.training.trainers.clustered.base import Job
from towpath_flows.training.trainers.clustered.trainer import ClusterTrainer
from towpath_flows.training_spec import ClusterSpec, Framework, TrainSpec, TuneSpec
from towpath_gitops.errors import (
    ConflictError,
    MissingDependencyError,
    NotFoundError,
    TrainingError,
    UnavailableError,
)

FRAMEWORKS: list[Framework] = list(get_args(Framework))
ROWS = 3000
RANDOM = np.random.default_rng(0)
X = RANDOM.random((ROWS + 1000, 5), dtype=np.float32)
SCORE = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * RANDOM.random(len(X))
WEIGHTS = (1 + RANDOM.random(len(X))).astype(np.float32)
Y = {"binary": (SCORE > 1).astype(np.int64), "regression": SCORE.astype(np.float64) * 100}
X[RANDOM.random(X.shape) < 0.1] = np.nan


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    """Two worker processes with a thread each, started by what model.yaml would say."""
    with opened(ClusterSpec(workers=2)) as found:
        assert found is not None
        yield found


def setting(task: str, rounds: int = 150) -> Setting:
    """Return what the fits here have in common."""
    classes = 2 if task == "binary" else 0
    return Setting(task, classes, rounds=rounds, patience=10, seed=1, threads=1)  # type: ignore[arg-type]  # one of the tasks


def rows(task: str, monotone: tuple[int, ...] = ()) -> tuple[Data, Data]:
    """Return weighted rows to fit and to judge, some values missing."""
    y = Y[task]
    train = Data(X[:ROWS], y[:ROWS], WEIGHTS[:ROWS], monotone)
    return train, Data(X[ROWS:], y[ROWS:], WEIGHTS[ROWS:])


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(("task", "tolerance"), [("binary", 0.02), ("regression", 1.5)])
def test_two_workers_fit_as_well_as_one_machine(
    two: Cluster, framework: Framework, task: str, tolerance: float
) -> None:
    """Weights and missing values count, both stop early; losses and answers lie within a tolerance.

    The losses are 1 - ROC AUC within 0.02, and a root mean square error of about 15 within 1.5; the answers correlate
    above 0.97. Each worker bins and samples rows of its own, so that the trees are others.
    """
    train, judge = rows(task)
    params = TRAINERS[framework].defaults()
    one = TRAINERS[framework].fit(train, judge, params, setting(task))
    over = trainer_on(two, framework)
    both = over.fit(train, judge, params, setting(task))
    assert both.workers == 2
    assert both.rounds < 150
    assert both.loss == pytest.approx(one.loss, abs=tolerance)
    answers = over.predict(both.estimator, X)[:, 0]
    assert np.corrcoef(answers, TRAINERS[framework].predict(one.estimator, X)[:, 0])[0, 1] > 0.97
    told = (1 - auc(answers[ROWS:], Y[task][ROWS:] == 1)) if task == "binary" else None
    assert told is None or told == pytest.approx(both.loss, abs=tolerance)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_fit_on_a_cluster_keeps_directions_and_can_be_repeated(two: Cluster, framework: Framework) -> None:
    """Held to fall with a column, no answer rises with it; the same fit gives the same bytes, and no address."""
    train, _ = rows("regression", monotone=(-1, 0, 0, 0, 0))
    over, params = trainer_on(two, framework), TRAINERS[framework].defaults()
    fits = [over.fit(train, None, params, setting("regression", rounds=15)) for _ in range(2)]
    low, high = X[:200].copy(), X[:200].copy()
    low[:, 0], high[:, 0] = 0.1, 0.9
    assert (over.predict(fits[0].estimator, high) <= over.predict(fits[0].estimator, low) + 1e-4).all()
    first, second = (over.save(found.estimator)[1] for found in fits)
    assert first == second
    assert b"127.0.0.1" not in first


def test_ports_between_lightgbm_workers_can_be_named(two: Cluster) -> None:
    """Where a firewall lets some ports through, each worker of a machine takes the next from the first on."""
    first = 21000 + os.getpid() % 20000
    train, _ = rows("binary")
    found = trainer_on(replace(two, ports=first), "lightgbm").fit(
        train, None, TRAINERS["lightgbm"].defaults(), setting("binary", rounds=5)
    )
    assert found.estimator.booster_.num_trees() == 5


def test_every_worker_sees_every_class(two: Cluster) -> None:
    """Rows are dealt out class by class; with fewer of a class than workers the fit is refused."""
    y = np.zeros(100, dtype=np.int64)
    y[7] = 1
    with pytest.raises(TrainingError, match=r"more workers \(2\) than rows of a class \(1\)"):
        trainer_on(two, "lightgbm").fit(Data(X[:100], y), None, {}, setting("binary", rounds=2))


class _Slow:
    """Fits as the framework does, and kills one of the workers when the rows are there."""

    def __init__(self, framework: Framework, times: int) -> None:
        self.framework, self.times = framework, times

    def fit(self, job: Job, params: Params, given: Setting) -> Fitted:
        """Kill, then fit: what the rows of the lost worker were nobody knows any more."""
        if self.times:
            self.times -= 1
            pid = job.client.run(os.getpid, workers=[job.workers[0]])[job.workers[0]]
            Thread(target=lambda: (sleep(0.2), os.kill(pid, signal.SIGKILL))).start()
        return FITS[self.framework].fit(job, params, given)


@pytest.mark.long
@pytest.mark.parametrize(("framework", "deaths"), [("xgboost", 1), ("lightgbm", 1), ("lightgbm", 2)])
def test_a_worker_killed_in_the_middle_of_a_fit(framework: Framework, deaths: int) -> None:
    """After one death the fit is begun again and gives the same model; after the second it is told, and none made."""
    random = np.random.default_rng(1)
    x = random.random((60_000, 20), dtype=np.float32)
    data = Data(x, (x[:, 0] + 0.2 * random.random(len(x)) > 0.6).astype(np.int64))
    params, given = TRAINERS[framework].defaults(), setting("binary", rounds=60)
    with opened(ClusterSpec(workers=2)) as found:
        assert found is not None
        trainer = ClusterTrainer(TRAINERS[framework], _Slow(framework, deaths), found)
        if deaths > 1:
            with pytest.raises(UnavailableError, match="lost in the middle of a fit"):
                trainer.fit(data, None, params, given)
            return
        fitted = trainer.fit(data, None, params, given)
        assert len(trainer.lost) == 1
        assert fitted.workers == 2
        undisturbed = trainer_on(found.again(), framework).fit(data, None, params, given)
        assert trainer.save(fitted.estimator) == trainer.save(undisturbed.estimator)


def test_a_worker_killed_in_the_middle_of_a_trial() -> None:
    """The trial begins again on another worker, tells no round twice, and ends as if nothing had been; so do others.

    A search that goes on finds as many places as before, for the lost worker's nanny has started another.
    """
    train, judge = rows("binary")
    params, given = TRAINERS["xgboost"].defaults() | {"learning_rate": 0.01}, setting("binary", rounds=400)
    given = replace(given, patience=400)
    folds = [Prepared(None, train, judge, None)] * 2  # type: ignore[arg-type]  # a bench looks at the rows only
    with opened(ClusterSpec(workers=2)) as found:
        assert found is not None
        bench = ClusterBench.of(found, folds, given)
        pids, steps = found.client.run(os.getpid), list[int]()

        def told(step: int, _: float) -> None:
            steps.append(step)
            if len(steps) == 3:
                (busy,) = [worker for worker, keys in found.client.processing().items() if keys]
                os.kill(pids[busy], signal.SIGKILL)

        tried = bench.fit("xgboost", params, told)
        assert steps == sorted(set(steps))
        assert len(steps) > 20
        assert pids[str(tried.worker)] in found.client.run(os.getpid).values()
        alone = LocalBench(folds, given, 1).fit("xgboost", params)
        assert (tried.loss, tried.rounds) == (alone.loss, alone.rounds)
        assert len(found.again().workers) == 2
        with ThreadPoolExecutor(2) as both:
            later = list(both.map(lambda _: bench.fit("xgboost", params), range(2)))
        assert [each.loss for each in later] == [alone.loss] * 2
        assert {each.worker for each in later} == set(found.again().workers)


def clustered(project: Project, **tuned: object) -> Project:
    """Return the project with a cluster of two processes."""
    spec = project.spec
    train = TrainSpec.model_validate(spec.train.plain() | {"cluster": {"workers": 2}})
    searched = TuneSpec.model_validate(spec.tune.plain() | tuned)
    return Project(project.root, spec.model_copy(update={"train": train, "tune": searched}))


def test_trials_are_spread_over_the_workers(project: Project, splits: Splits) -> None:
    """Each of two workers has tried some; without the cluster the search is the same one, and is done."""
    result = tune(clustered(project, trials=6), splits)
    assert len(result.trials) == 6
    assert len({trial.worker for trial in result.trials if trial.worker}) == 2
    assert {trial.framework for trial in result.trials} == {"xgboost", "lightgbm"}
    alone = tune(
        Project(project.root, clustered(project, trials=6).spec.model_copy(update={"train": project.spec.train})),
        splits,
    )
    assert [trial.params for trial in alone.trials] == [trial.params for trial in result.trials]


def test_hopeless_trials_are_given_up_on_a_worker(project: Project, splits: Splits) -> None:
    """A worker hears from here, between two rounds, that its trial is to end."""
    (project.root / "src" / "shop" / "space.py").write_text(
        "def space(trial, framework):\n"
        '    depth = trial.suggest_int("max_depth", 3, 6)\n'
        '    return {"max_depth": depth, "min_child_weight": 1.0 if trial.number < 4 else 300.0}\n'
    )
    project = clustered(project, trials=6, space="shop.space:space")
    train = project.spec.train.model_copy(update={"frameworks": ("xgboost",), "rounds": 60, "patience": 60})
    found = tune(Project(project.root, project.spec.model_copy(update={"train": train})), splits)
    assert [trial.loss is None for trial in found.trials] == [False] * 4 + [True] * 2


def test_the_last_fit_is_made_by_all_workers(project: Project, splits: Splits) -> None:
    """`fit` finds the rounds and fits on the cluster of model.yaml, and tells how many made it."""
    tuned = TuneResult("lightgbm", TRAINERS["lightgbm"].defaults(), None, ())
    model = fit(clustered(project), splits, tuned)
    assert model.workers == 2
    assert model.rounds <= 40


def test_a_running_cluster_is_named_by_the_environment(two: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable is named; a set one leads to the workers; others with other libraries are refused."""
    spec = ClusterSpec(env="DASK_SCHEDULER")
    monkeypatch.delenv("DASK_SCHEDULER", raising=False)
    with pytest.raises(NotFoundError, match="DASK_SCHEDULER is not set"), opened(spec):
        pass
    address = two.client.scheduler.address  # type: ignore[union-attr]  # it is connected
    monkeypatch.setenv("DASK_SCHEDULER", address)
    with opened(spec) as found:
        assert found is not None
        assert found.workers == two.workers
    mine = {**clusters.versions(), "xgboost": "0.1"}
    monkeypatch.setattr(clusters, "_asked", lambda *_: {"tcp://elsewhere:1": mine})
    with pytest.raises(ConflictError, match="other libraries"), opened(spec):
        pass


def test_a_scheduler_that_is_away_and_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are told with what to do; the first may succeed later."""
    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(UnavailableError, match="does not answer"), opened(ClusterSpec(address="tcp://127.0.0.1:9")):
        pass
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingDependencyError) as told, opened(ClusterSpec(workers=1)):
        pass
    assert "towpath[dask]" in told.value.hint


@pytest.mark.parametrize(
    "wrong", [{}, {"workers": 2, "env": "DASK"}, {"address": "tcp://user:secret@host:8786"}, {"address": "host:8786"}]
)
def test_a_cluster_is_named_once_and_without_secrets(wrong: dict[str, object]) -> None:
    """One of address, env and workers; an address has a protocol and no password."""
    with pytest.raises(ValueError, match=r"give one of|pattern"):
        ClusterSpec.model_validate(wrong)


def test_tasks_that_a_flow_submits_go_to_the_workers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting the flow's task runner is Dask's, without it threads are."""
    monkeypatch.chdir(project.root)
    assert isinstance(task_runner(), ThreadPoolTaskRunner)
    path = Path("model.yaml")
    path.write_text(path.read_text().replace("train: {frame", "train: {cluster: {workers: 2}, frame"))
    assert type(task_runner()).__name__ == "DaskTaskRunner"
