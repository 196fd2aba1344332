"""Parameters are searched with Optuna, on folds of train and validation; the test rows are never looked at."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from towpath_flows import cluster
from towpath_flows.cluster import Cluster
from towpath_flows.data.splits import Splits, folds
from towpath_flows.project import Project
from towpath_flows.spec import ModelSpec
from towpath_flows.training import study as studies
from towpath_flows.training.benches import Bench, ClusterBench, LocalBench
from towpath_flows.training.features import Features
from towpath_flows.training.preparation import Prepared, prepare, setting_of
from towpath_flows.training.space import Suggest, suggester
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training.trials import Trial, TuneResult
from towpath_flows.training_spec import Framework, Value
from towpath_gitops.errors import TowpathError, TrainingError

if TYPE_CHECKING:
    import optuna

__all__ = ["Trial", "TuneResult", "tune"]

OnTrial = Callable[[Trial], None]


def tune(project: Project, splits: Splits, on_trial: OnTrial | None = None) -> TuneResult:
    """Search for the parameters with the least mean loss over the folds (which loss: see `trainers.base.Fitted`).

    Each framework's defaults are tried first, so that tuning never does worse than not tuning; without trials these
    alone decide which framework is taken. Trials are kept in .towpath/optuna: the same search on the same rows goes on
    where it was interrupted, even killed, and is not repeated once done. With one worker it then ends as if nothing
    had happened; several finish in an order of their own, and the sampler learns in that order.

    Raises:
        TrainingError: no trial ended within `tune.timeout`, or the features or a trial cannot be made.
        ConflictError: another process is at the same search.
        InvalidFileError: `tune.space` does not say what it should.
    """
    spec, suggest = project.spec, suggester(project)
    if spec.tune.trials == 0:
        return _defaults(project, splits)
    with studies.opened(project, splits) as study:
        remaining = max(spec.tune.trials, len(spec.train.frameworks)) - len(studies.finished(study))
        if remaining > 0:
            with cluster.opened(spec.train.cluster) as workers:
                bench = _bench(project, splits, workers)
                _search(project, study, _Attempt(spec, suggest, bench), remaining, on_trial)
        return _best(tuple(studies.told(trial) for trial in studies.finished(study)))


def _bench(project: Project, splits: Splits, workers: Cluster | None) -> Bench:
    """Return what fits trials: the cores of this machine, or the workers of the cluster."""
    prepared = _prepared(project, splits)
    if workers is not None:
        setting = replace(setting_of(project, splits), threads=workers.threads)
        return ClusterBench.of(workers, prepared, setting)
    at_once = project.spec.tune.workers
    return LocalBench(prepared, setting_of(project, splits, at_once), at_once)


def _defaults(project: Project, splits: Splits) -> TuneResult:
    """Judge the defaults of each framework on the folds; of one framework there is nothing to choose."""
    frameworks = project.spec.train.frameworks
    if len(frameworks) == 1:
        return TuneResult(frameworks[0], TRAINERS[frameworks[0]].defaults(), None, ())
    trials = []
    with cluster.opened(project.spec.train.cluster) as workers:
        bench = _bench(project, splits, workers)
        for number, framework in enumerate(frameworks):
            start, params = monotonic(), TRAINERS[framework].defaults()
            tried = bench.fit(framework, params)
            seconds = monotonic() - start
            trials.append(Trial(number, framework, params, tried.loss, seconds, tried.rounds, worker=tried.worker))
    return _best(tuple(trials))


@dataclass(frozen=True)
class _Attempt:
    """Tries one set of parameters; the folds are the same matrices for every trial and every worker."""

    spec: ModelSpec
    suggest: Suggest
    bench: Bench

    def __call__(self, trial: "optuna.Trial") -> float:
        """Return the mean loss over the folds.

        Raises:
            optuna.TrialPruned: most trials had done better by then.
        """
        framework: Framework = trial.suggest_categorical(studies.FRAMEWORK, self.spec.train.frameworks)  # type: ignore[assignment]  # one of those given
        params: dict[str, Value] = self.suggest(trial, framework)
        trial.set_user_attr(studies.FRAMEWORK, framework)
        trial.set_user_attr(studies.PARAMS, params)
        tried = self.bench.fit(framework, params, partial(_reported, trial) if self.spec.tune.pruning else None)
        trial.set_user_attr(studies.ROUNDS, tried.rounds)
        trial.set_user_attr(studies.WORKER, tried.worker)
        return tried.loss


def _reported(trial: "optuna.Trial", step: int, loss: float) -> None:
    import optuna  # noqa: PLC0415 (heavy)

    trial.report(loss, step)
    if trial.should_prune():
        raise optuna.TrialPruned


def _prepared(project: Project, splits: Splits) -> list[Prepared]:
    """Return the folds as matrices; they are the same for every trial."""
    features, rows = Features.of(project, splits.train, splits.target), splits.development
    pairs = folds(project, rows, splits.target)
    if not pairs:
        return [prepare(project, features, splits.train, splits.validation)]
    return [prepare(project, features, rows.iloc[fitted], rows.iloc[judged]) for fitted, judged in pairs]


def _search(
    project: Project, study: "optuna.Study", attempt: _Attempt, remaining: int, on_trial: OnTrial | None
) -> None:
    """Try `remaining` sets, as many at a time as the bench has places, each in a thread that waits for its outcome.

    Trials are asked for and told of in this thread alone, so that whoever listens hears them in the order they end.
    """
    places = attempt.bench.places
    deadline = monotonic() + project.spec.tune.timeout.total_seconds()
    running: dict[Future[float], optuna.Trial] = {}
    with ThreadPoolExecutor(places) as pool:
        while remaining > 0 or running:
            while remaining > 0 and len(running) < places and monotonic() < deadline:
                done = len(studies.finished(study)) + len(running)
                study.sampler = studies.sampler(project, done, parallel=places > 1)
                trial = study.ask()
                running[pool.submit(attempt, trial)] = trial
                remaining -= 1
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                concluded = _conclude(study, running.pop(future), future)
                if on_trial:
                    on_trial(studies.told(concluded))


def _conclude(study: "optuna.Study", trial: "optuna.Trial", future: Future[float]) -> "optuna.trial.FrozenTrial":
    """Keep what a trial found.

    Raises:
        TrainingError: the library refuses these parameters or rows.
    """
    import optuna  # noqa: PLC0415 (heavy)

    try:
        return study.tell(trial, future.result())
    except optuna.TrialPruned:
        return study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except BaseException as error:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if isinstance(error, TowpathError) or not isinstance(error, Exception):
            raise
        raise TrainingError(
            f"Trial {trial.number} cannot be fitted: {type(error).__name__}: {error}", why=f"It tried {trial.params}."
        ) from error


def _best(trials: tuple[Trial, ...]) -> TuneResult:
    tried = [trial for trial in trials if trial.loss is not None]
    if not tried:
        raise TrainingError("No set of parameters could be tried to its end", hint="Give `tune.timeout` more time.")
    best = min(tried, key=lambda trial: (trial.loss, trial.number))
    return TuneResult(best.framework, best.params, best.loss, trials, best.rounds)
