"""Where a search is kept: one SQLite file that survives a kill, one process at a time, nothing tried twice."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final

from towpath_flows.data.sources.base import digest_frame
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.training.features import Features
from towpath_flows.training.space import queued
from towpath_flows.training.trials import Trial
from towpath_gitops import layout
from towpath_gitops.errors import ConflictError
from towpath_gitops.records.base import digest_file, digest_of, short

if TYPE_CHECKING:
    import optuna

STUDIES: Final = "studies.db"
FRAMEWORK, PARAMS, ROUNDS, WORKER = "framework", "params", "rounds", "worker"  # what a trial's attributes tell
_FIXED: Final = "fixed_params"  # Optuna's own name for the parameters of a queued trial
_LOCK_TIMEOUT_S: Final = 60  # that one worker waits while another writes


@contextmanager
def opened(project: Project, splits: Splits) -> "Iterator[optuna.Study]":
    """Hold the study of this very search; what a killed process left half tried is queued again.

    Raises:
        ConflictError: another process holds it.
    """
    name = f"{project.spec.name}-{short(_question(project, splits))}"
    folder = layout.state(project.root, "optuna")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when its holder dies
        except BlockingIOError as error:
            raise ConflictError(
                "Another process searches for these parameters",
                why=f"It holds {lock.name}.",
                hint="Wait for it: this search then goes on from what it found.",
            ) from error
        study = _created(project, folder / STUDIES, name)
        _requeue(study)
        yield study


def sampler(project: Project, finished: int, *, parallel: bool) -> "optuna.samplers.BaseSampler":
    """Return the sampler of the next trial. Its seed counts the finished ones.

    A search that was killed thus goes on with the very parameters that it would have tried next.
    """
    import optuna  # noqa: PLC0415 (heavy)

    spec = project.spec
    # A third of the trials explores, the rest follows what was learned.
    explores = min(10, 1 + spec.tune.trials // 3)
    seed = int(digest_of([spec.train.seed, finished]).removeprefix("sha256:")[:8], 16)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=explores, constant_liar=parallel)


def told(trial: "optuna.trial.FrozenTrial") -> Trial:
    """Return a finished trial as records have it."""
    complete = trial.state.name == "COMPLETE"
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    attributes = trial.user_attrs
    loss, rounds = (trial.value, attributes.get(ROUNDS)) if complete else (None, None)
    # Optuna writes local time without a zone.
    began = trial.datetime_start.astimezone(UTC) if trial.datetime_start else None
    return Trial(
        trial.number, attributes[FRAMEWORK], attributes[PARAMS], loss, seconds, rounds, began, attributes.get(WORKER)
    )


def finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Return the trials that came to an end; those of a killed process did not, and failed ones do not count."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _created(project: Project, path: Path, name: str) -> "optuna.Study":
    import optuna  # noqa: PLC0415 (heavy)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = (
        optuna.pruners.MedianPruner(n_startup_trials=3) if project.spec.tune.pruning else optuna.pruners.NopPruner()
    )
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_S}}
    )
    study = optuna.create_study(storage=storage, study_name=name, pruner=pruner, load_if_exists=True)
    if not study.trials:
        for framework in project.spec.train.frameworks:
            study.enqueue_trial({FRAMEWORK: framework, **queued(project, framework)})
    return study


def _requeue(study: "optuna.Study") -> None:
    """End the trials of a process that is dead; of those that were queued, try the same parameters again."""
    for trial in study.trials:
        if trial.state.name == "RUNNING":
            study.tell(trial.number, state=_failed())
            if trial.system_attrs.get(_FIXED):
                study.enqueue_trial(trial.system_attrs[_FIXED])


def _failed() -> "optuna.trial.TrialState":
    import optuna  # noqa: PLC0415 (heavy)

    return optuna.trial.TrialState.FAIL


def _question(project: Project, splits: Splits) -> str:
    """Return a digest of all that the answer depends on: only the very same search is gone on with."""
    spec = project.spec
    inputs = Features.of(project, splits.train, splits.target).signature.digest
    owners = {path.name: digest_file(path) for path in sorted((project.root / "src").rglob("*.py"))}
    written = spec.plain()
    written["train"].pop("cluster", None)  # where it is tried does not change what is asked
    settings = {"train": written["train"], "features": written["features"], "folds": spec.tune.folds}
    settings |= {"space": written["tune"]["space"]}
    return digest_of(settings | {"inputs": inputs, "code": owners, "rows": digest_frame(splits.development)})
