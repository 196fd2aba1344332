"""Parameters are searched with Optuna, on folds of train and validation; the test rows are never looked at."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from statistics import mean
from time import monotonic
from typing import TYPE_CHECKING, Final

from towpath_flows.data.splits import Splits, folds
from towpath_flows.project import Project
from towpath_flows.training import study as studies
from towpath_flows.training.features import Features
from towpath_flows.training.preparation import Prepared, prepare, setting_of
from towpath_flows.training.space import Suggest, suggester
from towpath_flows.training.trainers import TRAINERS, OnRound, Setting
from towpath_flows.training.trials import Trial, TuneResult
from towpath_flows.training_spec import Framework, Value
from towpath_gitops.errors import TowpathError, TrainingError

if TYPE_CHECKING:
    import optuna

__all__ = ["Trial", "TuneResult", "tune"]

OnTrial = Callable[[Trial], None]

_ROUNDS_TOLD: Final = 30  # a trial may be given up within a fold each so many rounds; each time is written to disk


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
            _search(project, study, _Attempt.of(project, splits, suggest), remaining, on_trial)
        return _best(tuple(studies.told(trial) for trial in studies.finished(study)))


def _defaults(project: Project, splits: Splits) -> TuneResult:
    """Judge the defaults of each framework on the folds; of one framework there is nothing to choose."""
    frameworks = project.spec.train.frameworks
    if len(frameworks) == 1:
        return TuneResult(frameworks[0], TRAINERS[frameworks[0]].defaults(), None, ())
    prepared, setting = _prepared(project, splits), setting_of(project, splits)
    trials = []
    for number, framework in enumerate(frameworks):
        start, params = monotonic(), TRAINERS[framework].defaults()
        fits = [TRAINERS[framework].fit(fold.train, fold.judge, params, setting) for fold in prepared]
        loss, rounds = mean(fit.loss for fit in fits), round(mean(fit.rounds for fit in fits))
        trials.append(Trial(number, framework, params, loss, monotonic() - start, rounds))
    return _best(tuple(trials))


@dataclass(frozen=True)
class _Attempt:
    """Tries one set of parameters; the folds are the same matrices for every trial and every worker."""

    frameworks: tuple[Framework, ...]
    suggest: Suggest
    folds: list[Prepared]
    setting: Setting
    pruning: bool

    @classmethod
    def of(cls, project: Project, splits: Splits, suggest: Suggest) -> "_Attempt":
        tune = project.spec.tune
        setting = setting_of(project, splits, tune.workers)
        return cls(project.spec.train.frameworks, suggest, _prepared(project, splits), setting, tune.pruning)

    def __call__(self, trial: "optuna.Trial") -> float:
        """Return the mean loss over the folds.

        Raises:
            optuna.TrialPruned: most trials had done better by then.
        """
        framework: Framework = trial.suggest_categorical(studies.FRAMEWORK, self.frameworks)  # type: ignore[assignment]  # one of those given
        params: dict[str, Value] = self.suggest(trial, framework)
        trial.set_user_attr(studies.FRAMEWORK, framework)
        trial.set_user_attr(studies.PARAMS, params)
        losses: list[float] = []
        rounds: list[int] = []
        for number, fold in enumerate(self.folds):
            told = self._told(trial, losses, number) if self.pruning else None
            fitted = TRAINERS[framework].fit(fold.train, fold.judge, params, self.setting, told)
            losses.append(fitted.loss)
            rounds.append(fitted.rounds)
            if number + 1 < len(self.folds):
                _reported(trial, mean(losses), (number + 1) * self.setting.rounds)
        trial.set_user_attr(studies.ROUNDS, round(mean(rounds)))
        return mean(losses)

    def _told(self, trial: "optuna.Trial", losses: list[float], number: int) -> OnRound:
        """Return what hears of each round of a fold; steps count rounds over all folds."""

        def on_round(done: int, loss: float) -> None:
            if done and done % _ROUNDS_TOLD == 0:
                _reported(trial, mean([*losses, loss]), number * self.setting.rounds + done)

        return on_round


def _reported(trial: "optuna.Trial", loss: float, step: int) -> None:
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
    """Try `remaining` sets, `tune.workers` at a time, in threads: both libraries fit without Python's lock.

    Trials are asked for and told of in this thread alone, so that whoever listens hears them in the order they end.
    """
    tune = project.spec.tune
    deadline = monotonic() + tune.timeout.total_seconds()
    running: dict[Future[float], optuna.Trial] = {}
    with ThreadPoolExecutor(tune.workers) as pool:
        while remaining > 0 or running:
            while remaining > 0 and len(running) < tune.workers and monotonic() < deadline:
                study.sampler = studies.sampler(project, len(studies.finished(study)) + len(running))
                trial = study.ask()
                running[pool.submit(attempt, trial)] = trial
                remaining -= 1
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done = _conclude(study, running.pop(future), future)
                if on_trial:
                    on_trial(studies.told(done))


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
