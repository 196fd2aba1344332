"""Trials as MLflow runs below the training's own, and the history of the search as a picture."""

from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from towpath_flows.evaluation.plots import ACCENT, INK, QUIET, Draw, svg
from towpath_flows.training.trials import Trial

HISTORY: Final = "tuning/history.svg"
PARENT: Final = "mlflow.parentRunId"
WORKER: Final = "towpath.worker"


def log_trials(client: Any, run: Any, trials: Sequence[Trial]) -> None:  # noqa: ANN401 (MLflow has no types)
    """Log each trial as a nested run of `run`, the course of the search as its metrics, and the plot of it.

    A trial that was given up ends as KILLED and has no loss. Times are those of the search, also when it was done in
    an earlier attempt.
    """
    if not trials:
        return
    for trial in trials:
        _log_trial(client, run, trial)
    _log_course(client, run.info.run_id, trials)
    picture = svg(history(trials)).partition(",")[2]
    client.log_text(run.info.run_id, b64decode(picture).decode(), HISTORY)


def _log_trial(client: Any, run: Any, trial: Trial) -> None:  # noqa: ANN401 (MLflow has no types)
    from mlflow.entities import Metric, Param  # noqa: PLC0415 (takes seconds)

    began = trial.began or datetime.now(UTC) - timedelta(seconds=trial.seconds)
    ended = _milliseconds(began + timedelta(seconds=trial.seconds))
    nested = client.create_run(
        run.info.experiment_id,
        start_time=_milliseconds(began),
        run_name=f"trial {trial.number} ({trial.framework})",
        tags={PARENT: run.info.run_id} | ({WORKER: trial.worker} if trial.worker else {}),
    ).info.run_id
    figures = {"loss": trial.loss, "rounds": trial.rounds, "seconds": trial.seconds}
    metrics = [Metric(name, float(value), ended, 0) for name, value in figures.items() if value is not None]
    params = {"framework": trial.framework, **trial.params}
    client.log_batch(nested, metrics=metrics, params=[Param(name, str(value)) for name, value in params.items()])
    client.set_terminated(nested, "KILLED" if trial.loss is None else "FINISHED", ended)


def _log_course(client: Any, run_id: str, trials: Sequence[Trial]) -> None:  # noqa: ANN401 (MLflow has no types)
    from mlflow.entities import Metric  # noqa: PLC0415 (takes seconds)

    now = _milliseconds(datetime.now(UTC))
    tried = [(trial.number, trial.loss) for trial in trials if trial.loss is not None]
    least = accumulate((loss for _, loss in tried), min)
    metrics = [Metric("trial_loss", loss, now, number) for number, loss in tried]
    metrics += [Metric("least_loss", loss, now, number) for (number, _), loss in zip(tried, least, strict=True)]
    for start in range(0, len(metrics), 1000):  # MLflow takes no more at a time
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def history(trials: Sequence[Trial]) -> Draw:
    """Plot the loss of each trial, by framework, the least so far as a line, and those given up as ticks above."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        tried = [(trial.number, trial.loss) for trial in trials if trial.loss is not None]
        numbers, losses = [number for number, _ in tried], [loss for _, loss in tried]
        axes.step(numbers, list(accumulate(losses, min)), where="post", color=QUIET, label="least so far")
        for framework, colour in zip(sorted({trial.framework for trial in trials}), (INK, ACCENT), strict=False):
            own = [(t.number, t.loss) for t in trials if t.framework == framework and t.loss is not None]
            axes.scatter([n for n, _ in own], [loss for _, loss in own], s=16, color=colour, label=framework)
        gone = [trial.number for trial in trials if trial.loss is None]
        if gone:
            axes.scatter(gone, [max(losses)] * len(gone), marker="|", color=QUIET, label="given up")
        axes.set(title="Search for parameters", xlabel="trial", ylabel="mean loss on the folds")
        axes.legend()

    return draw


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
