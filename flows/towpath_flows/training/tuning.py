"""Parameters are searched with Optuna, on folds of train and validation; the test rows are never looked at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from towpath_flows.data.sources.base import digest_frame
from towpath_flows.data.splits import Splits, folds
from towpath_flows.project import Project
from towpath_flows.spec import Framework
from towpath_flows.training.features import Features
from towpath_flows.training.preparation import Prepared, prepare, setting_of
from towpath_flows.training.trainers import TRAINERS, Setting
from towpath_gitops import layout
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.base import digest_file, digest_of, short

if TYPE_CHECKING:
    import optuna

_STUDIES: Final = "studies.db"
_ROUNDS: Final = "rounds"


@dataclass(frozen=True)
class Trial:
    """One set of parameters that was tried; `loss` and `rounds` are means over folds, None where it was given up."""

    number: int
    framework: Framework
    params: Mapping[str, float | int]
    loss: float | None
    seconds: float
    rounds: int | None = None


@dataclass(frozen=True)
class TuneResult:
    """The best parameters, and everything that was tried. Without trials: the first framework's defaults.

    `rounds` is the mean over folds of the round after which nothing was gained: one fold alone, a month unlike the
    others, may stop after a handful. None without trials.
    """

    framework: Framework
    params: Mapping[str, float | int]
    loss: float | None
    trials: tuple[Trial, ...]
    rounds: int | None = None


def tune(project: Project, splits: Splits, on_trial: Callable[[Trial], None] | None = None) -> TuneResult:
    """Search for the parameters with the least mean loss over the folds (which loss: see `trainers.base.Fitted`).

    Each framework's defaults are tried first, so that tuning never does worse than not tuning. Trials are kept in
    .towpath/optuna: the same search on the same rows goes on where it was interrupted, and is not repeated once done.

    Raises:
        TrainingError: no trial ended within `tune.timeout`, or the features cannot be made.
    """
    spec = project.spec
    if spec.tune.trials == 0:
        first = spec.train.frameworks[0]
        return TuneResult(first, TRAINERS[first].defaults(), None, ())
    study = _study(project, splits)
    remaining = spec.tune.trials - len(_done(study))
    if remaining > 0:
        objective = _objective(project, splits)
        study.optimize(
            objective,
            n_trials=remaining,
            timeout=spec.tune.timeout.total_seconds(),
            callbacks=[lambda _, done: on_trial(_trial(done))] if on_trial else None,
        )
    return _result(study)


def _study(project: Project, splits: Splits) -> "optuna.Study":
    import optuna  # noqa: PLC0415 (heavy)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = project.spec
    name = f"{spec.name}-{short(_question(project, splits))}"
    path = layout.state(project.root, "optuna", _STUDIES)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A third of the trials explores, the rest follows what was learned.
    sampler = optuna.samplers.TPESampler(seed=spec.train.seed, n_startup_trials=min(10, 1 + spec.tune.trials // 3))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3) if spec.tune.pruning else optuna.pruners.NopPruner()
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name=name, sampler=sampler, pruner=pruner, load_if_exists=True
    )
    if not study.trials:
        for framework in spec.train.frameworks:
            defaults = {f"{framework}.{name}": value for name, value in TRAINERS[framework].defaults().items()}
            study.enqueue_trial({"framework": framework, **defaults})
    return study


def _question(project: Project, splits: Splits) -> str:
    """Return a digest of all that the answer depends on: only the very same search is gone on with."""
    spec = project.spec
    inputs = Features.of(project, splits.train, splits.target).signature.digest
    owners = {path.name: digest_file(path) for path in sorted((project.root / "src").rglob("*.py"))}
    settings = {"train": spec.train.plain(), "folds": spec.tune.folds, "features": spec.features}
    return digest_of(settings | {"inputs": inputs, "code": owners, "rows": digest_frame(splits.development)})


def _objective(project: Project, splits: Splits) -> "Callable[[optuna.Trial], float]":
    features = Features.of(project, splits.train, splits.target)
    prepared = list(_prepared(project, splits, features))
    setting = setting_of(project, splits)

    def objective(trial: "optuna.Trial") -> float:
        framework: Framework = trial.suggest_categorical("framework", project.spec.train.frameworks)  # type: ignore[assignment]  # one of those given
        params = TRAINERS[framework].suggest(trial)
        return _mean_loss(trial, framework, params, prepared, setting)

    return objective


def _prepared(project: Project, splits: Splits, features: Features) -> list[Prepared]:
    """Return the folds as matrices; they are the same for every trial."""
    rows = splits.development
    pairs = folds(project, rows, splits.target)
    if not pairs:
        return [prepare(project, features, splits.train, splits.validation)]
    return [prepare(project, features, rows.iloc[fitted], rows.iloc[judged]) for fitted, judged in pairs]


def _mean_loss(
    trial: "optuna.Trial", framework: Framework, params: Mapping[str, Any], prepared: list[Prepared], setting: Setting
) -> float:
    import optuna  # noqa: PLC0415 (heavy)

    losses, rounds = [], []
    for step, fold in enumerate(prepared):
        fitted = TRAINERS[framework].fit(fold.train, fold.judge, params, setting)
        losses.append(fitted.loss)
        rounds.append(fitted.rounds)
        mean = sum(losses) / len(losses)
        trial.report(mean, step)
        if step + 1 < len(prepared) and trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr(_ROUNDS, round(sum(rounds) / len(rounds)))
    return mean


def _trial(trial: "optuna.trial.FrozenTrial") -> Trial:
    framework, params = _split(trial.params)
    complete = trial.state.name == "COMPLETE"
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    loss, rounds = (trial.value, trial.user_attrs.get(_ROUNDS)) if complete else (None, None)
    return Trial(trial.number, framework, params, loss, seconds, rounds)


def _split(params: Mapping[str, Any]) -> tuple[Framework, dict[str, float | int]]:
    framework: Framework = params["framework"]
    prefix = f"{framework}."
    return framework, {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def _done(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Return the trials that came to an end; those of a killed process did not, and failed ones do not count."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _result(study: "optuna.Study") -> TuneResult:
    trials = tuple(_trial(trial) for trial in _done(study))
    tried = [trial for trial in trials if trial.loss is not None]
    if not tried:
        raise TrainingError("No set of parameters could be tried to its end", hint="Give `tune.timeout` more time.")
    best = min(tried, key=lambda trial: (trial.loss, trial.number))
    return TuneResult(best.framework, best.params, best.loss, trials, best.rounds)
