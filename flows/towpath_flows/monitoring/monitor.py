"""A window of live rows against a release: what has drifted, and does it cost accuracy?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.deciding import rule_of
from towpath_flows.data.contract import Problem, examine
from towpath_flows.data.drift import ColumnDrift, compare, false_alarm_rate
from towpath_flows.data.sources import Table
from towpath_flows.evaluation import condensing
from towpath_flows.evaluation.bootstrap import Estimate
from towpath_flows.evaluation.judgement import window_of
from towpath_flows.evaluation.metrics import METRICS, metrics_of
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.monitoring.traffic import ANSWER, MOST_SEEN, Traffic, answers_of, remembered, unlearned_answers
from towpath_flows.project import Project
from towpath_flows.spec import MetricGate
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import DataContractError
from towpath_gitops.layout import tracking_uri
from towpath_gitops.records.evidence import Kind
from towpath_gitops.records.release import Release

FEWEST_LABELS: Final = 100  # labelled rows below which accuracy is not judged
NORMAL_95: Final = 1.959964  # half width of a 95 % interval in standard errors

Outcome = Literal["fine", "drifted", "costly", "unknown"]


@dataclass(frozen=True)
class Performance:
    """The gates' first metric on the labelled rows of the window, beside what was recorded on the test rows."""

    metric: str
    recorded: Estimate
    measured: Estimate
    rows: int

    @property
    def loss(self) -> Estimate:
        """How much worse the window is, positive is worse; its interval adds the variances of both samples.

        The two samples are independent; each standard error is its interval's half width over 1.96.
        """
        sign = METRICS[self.metric].sign
        value = sign * (self.recorded.value - self.measured.value)
        error = math.hypot(*((each.high - each.low) / 2 for each in (self.recorded, self.measured)))
        return Estimate(value, value - error, value + error)

    @property
    def costs(self) -> bool:
        """Whether the loss is beyond chance."""
        return self.loss.low > 0

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        name, loss = METRICS[self.metric].label, self.loss
        figures = (
            f"{name} is {self.measured.value:.4f} ({self.measured.low:.4f} to {self.measured.high:.4f}) "
            f"on {self.rows:,} labelled rows, and was {self.recorded.value:.4f} on the test rows of training"
        )
        if self.costs:
            ends = f"{loss.low:.4f} to {loss.high:.4f}"
            return f"{figures}: worse by {loss.value:.4f} ({ends}), which chance does not explain"
        return f"{figures}: {'better' if loss.high < 0 else 'no difference that chance would not explain'}"

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        both = {"recorded": self.recorded, "measured": self.measured, "loss": self.loss}
        figures = {name: {"value": e.value, "low": e.low, "high": e.high} for name, e in both.items()}
        return {"metric": self.metric, "rows": self.rows, "costs": self.costs, **figures}


@dataclass(frozen=True)
class Report:
    """What the monitor found. `samples` holds reference and window columns (n,) for the plots, but sensitive ones."""

    release: Release
    window: tuple[str | None, str | None]
    rows: int
    alpha: float
    columns: tuple[ColumnDrift, ...]
    problems: tuple[Problem, ...]
    performance: Performance | None
    created: datetime
    samples: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
    traffic: Traffic | None = None  # where there is a journal

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved, farthest first."""
        return tuple(column for column in self.columns if column.drifted)

    @property
    def moved(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved in the rows or in the traffic, each once."""
        names = {column.column for column in self.drifted}
        return (*self.drifted, *(each for each in self.traffic_drift if each.column not in names))

    @property
    def traffic_drift(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved in the traffic, farthest first."""
        return self.traffic.drifted if self.traffic else ()

    @property
    def outcome(self) -> Outcome:
        """`costly` when accuracy is lost; `drifted` when columns moved; `unknown` without labels and drift."""
        if self.performance and self.performance.costs:
            return "costly"
        if self.moved or self.problems:
            return "drifted"
        return "fine" if self.performance else "unknown"

    @property
    def headline(self) -> str:
        """What a person should know, in a few sentences."""
        names = ", ".join(column.column for column in self.drifted[:5])
        inputs = len(self.columns)
        moved = (
            f"{len(self.drifted)} of {inputs} columns have drifted: {names}"
            if self.drifted
            else f"None of {inputs} columns has drifted"
        )
        broken = f" {len(self.problems)} rules of the schema are broken." if self.problems else ""
        worth = self.performance.words if self.performance else "There are too few labels yet to say what it costs"
        traffic = f" {self.traffic.words}." if self.traffic else ""
        return f"{moved}.{broken}{traffic} {worth}. {self.advice}"

    @property
    def advice(self) -> str:
        """What to do."""
        if self.outcome == "costly":
            return "It costs accuracy: train again on the later rows."
        if self.performance is None:
            return "Look again when labels have arrived."
        if self.outcome == "drifted":
            return "It costs no accuracy that can be shown: look at the columns, and keep watching."
        return "Nothing needs doing."

    def plain(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "release": self.release.plain() | {"id": self.release.id},
            "created": self.created.isoformat(),
            "window": list(self.window),
            "rows": self.rows,
            "outcome": self.outcome,
            "headline": self.headline,
            "alpha": self.alpha,
            "columns": [column.plain() for column in self.columns],
            "problems": [str(problem) for problem in self.problems],
            "performance": self.performance.plain() if self.performance else None,
            "traffic": self.traffic.plain() if self.traffic else None,
        }


def watch(
    project: Project,
    release: Release,
    table: Table,
    *,
    now: datetime | None = None,
    journal: str | Path | None = None,
) -> Report:
    """Compare rows with the release's reference sample, score them, and measure the labelled ones.

    Columns are compared with the whole sample that was kept at training, the model's answers with those to its test
    rows, which it had never seen either. Rows that break the owner's schema are reported, and compared as far as they
    can be read. Labels count from `monitor.labels.delay` on: younger rows have only the labels that came early, which
    are not like the others. What the service remembers of the same stretch of time is compared in the same way.

    Raises:
        DataContractError: the rows lack a column that the model needs.
        DigestMismatchError, NotFoundError, UnavailableError: the release cannot be fetched, or the journal not read.
    """
    now = now or datetime.now(UTC)
    scorer = Scorer.fetch(project.root, release)
    validated = examine(project, table)
    problems = tuple(problem for problem in validated.report.problems if problem.column != project.spec.target)
    frame = validated.frame.reset_index(drop=True)
    monitor = project.spec.monitor
    since = table.window[0] or now - monitor.window
    traffic = remembered(project, release, scorer, (since, table.window[1]), journal)
    families = 2 if traffic and traffic.samples else 1  # the false alarms that are borne are of both (Bonferroni)
    alpha = false_alarm_rate(monitor.drift.false_alarms.per_day, monitor.every.total_seconds()) / families
    samples = _samples(scorer, scorer.reference(), frame)
    sides = [{name: pair[side] for name, pair in samples.items()} for side in (0, 1)]
    return Report(
        release=release,
        window=window_of(project, frame),
        rows=len(frame),
        alpha=alpha,
        columns=tuple(compare(sides[0], sides[1], alpha=alpha)),
        problems=problems,
        performance=_performance(project, scorer, release, _labelled(project, frame, now)),
        created=now,
        samples={name: pair for name, pair in samples.items() if name not in project.sensitive},
        traffic=traffic.judged(alpha) if traffic else None,
    )


def _samples(
    scorer: Scorer, reference: pd.DataFrame, frame: pd.DataFrame
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return every input and the model's answer, in the reference and in the window: (n,) and (m,)."""
    chosen = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), MOST_SEEN)).astype(int))
    sides = [scorer.columns(reference), scorer.columns(frame.iloc[chosen])]
    found = {name: (sides[0][name][:, 0], sides[1][name][:, 0]) for name in sides[0]}
    return {**found, ANSWER: (unlearned_answers(scorer, reference), answers_of(scorer, sides[1]))}


def _labelled(project: Project, frame: pd.DataFrame, now: datetime) -> pd.DataFrame:
    spec = project.spec
    if spec.target not in frame:
        return frame.iloc[:0]
    known = frame[spec.target].notna()
    if spec.time is not None:
        known &= frame[spec.time] <= now - spec.monitor.labels.delay
    return frame[known]


def _performance(project: Project, scorer: Scorer, release: Release, labelled: pd.DataFrame) -> Performance | None:
    name = next(
        (gate.metric for gate in project.spec.gates if isinstance(gate, MetricGate) and gate.metric in METRICS),
        metrics_of(project.spec.task)[0].name,
    )
    recorded = _recorded(project, release, name)
    if recorded is None or len(labelled) < FEWEST_LABELS:
        return None
    try:
        y = scorer.features.y(labelled)
    except DataContractError:  # a class that the model has never seen: the schema or the drift report tells of it
        return None
    answers = scorer.answers(labelled)
    threshold, seed = rule_of(scorer.signature), project.spec.train.seed
    measured = condensing.measured(
        {name: METRICS[name]}, project.spec.task, y, answers, threshold=threshold, seed=seed
    )[name]
    return Performance(name, recorded, measured, len(y)) if math.isfinite(measured.value) else None


def _recorded(project: Project, release: Release, metric: str) -> Estimate | None:
    evidence = Registry(tracking_uri(project.root)).evidence(release).get(Kind.EVALUATION)
    figures = evidence.details.get("metrics", {}).get(metric) if evidence else None
    return Estimate(figures["value"], figures["low"], figures["high"]) if figures else None
