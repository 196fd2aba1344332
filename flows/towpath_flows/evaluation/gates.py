"""Measurements and thresholds become verdicts. A limit inside the interval is neither a pass nor a fail."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from towpath_bento.deciding import DEFAULT_THRESHOLD, Rule
from towpath_flows.evaluation import condensing, slices
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.bootstrap import Estimate, rows_to_settle
from towpath_flows.evaluation.metrics import BINS, METRICS, Metric, metrics_of, top_label
from towpath_flows.evaluation.thresholds import curve
from towpath_flows.evidence_spec import CostMatrix, ThresholdSpec
from towpath_flows.spec import MetricGate, ModelSpec, SliceGate
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.records.figures import MOST_SLICES, Bin, ChosenThreshold, EvaluationFigures, Measured, is_bounded
from towpath_gitops.records.signature import Task

Array = NDArray[np.generic]

_VERBS = {Verdict.PASS: "meets", Verdict.FAIL: "misses"}


def judge(gate: MetricGate, measured: Estimate, rows: int, metric: Metric | None = None) -> Finding:
    """Return the verdict on a floor or a ceiling.

    Pass when the whole two-sided interval is on the right side of the limit, fail when it is wholly on the wrong side,
    otherwise inconclusive with the rows that would settle it if the estimate stays where it is.
    """
    metric = metric or METRICS[gate.metric]
    if not all(math.isfinite(value) for value in (measured.value, *measured.interval)):
        words = f"{metric.label} is not defined on these {rows:,} rows; they may hold one class only"
        return Finding(gate=str(gate), verdict=Verdict.ERROR, message=words)
    limit = gate.min if gate.min is not None else gate.max
    if limit is None:
        message = "a metric gate has a min or a max"
        raise ValueError(message)
    verdict = _side(measured, limit, floor=gate.min is not None)
    needed = rows_to_settle(measured, limit, rows) if verdict is Verdict.INCONCLUSIVE else None
    figures = f"{metric.label} is {measured.value:.4f} (95% interval {measured.low:.4f} to {measured.high:.4f})"
    kind = "floor" if gate.min is not None else "ceiling"
    words = f"{figures} on {rows:,} rows: {_VERBS.get(verdict, 'may or may not meet')} the {kind} of {limit:g}"
    if needed:
        words += f"; about {needed:,} rows would settle it"
    return Finding(
        gate=str(gate),
        verdict=verdict,
        message=words,
        measured=measured.value,
        limit=limit,
        interval=measured.interval,
        needed_rows=needed,
    )


def _side(measured: Estimate, limit: float, *, floor: bool) -> Verdict:
    nearest, farthest = (measured.low, measured.high) if floor else (-measured.high, -measured.low)
    bound = limit if floor else -limit
    if nearest >= bound:
        return Verdict.PASS
    return Verdict.FAIL if farthest < bound else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class Measuring:
    """How a model is measured besides what model.yaml says: by which metrics, deciding from which threshold.

    `measures` are those of the task where it is None; `chosen` tells how the threshold was chosen, if it was.
    """

    measures: Mapping[str, Metric] | None = None
    threshold: Rule = DEFAULT_THRESHOLD
    chosen: ChosenThreshold | None = None

    def of(self, task: Task) -> Mapping[str, Metric]:
        """Return the metrics by name."""
        return self.measures or {metric.name: metric for metric in metrics_of(task)}


def evaluate(  # noqa: PLR0913, PLR0917 (a measurement needs its truth, answers, groups and window)
    spec: ModelSpec,
    y: Array,
    p: Array,
    groups: Mapping[str, Array],
    window: tuple[str | None, str | None],
    how: Measuring | None = None,
) -> Assessment:
    """Judge a model's answers `p` (n, k) to the test rows with truth `y` (n,) by the metric and slice gates.

    `groups` holds the column (n,) of every slice gate. Every metric of the task is measured, judged or not, and kept
    in the details with its interval, beside the reliability curve of a classification.
    """
    rows, how = len(y), how or Measuring()
    measures = how.of(spec.task)
    measured = condensing.measured(measures, spec.task, y, p, threshold=how.threshold, seed=spec.train.seed)
    findings = [
        judge(gate, measured[gate.metric], rows, measures[gate.metric])
        for gate in spec.gates
        if isinstance(gate, MetricGate)
    ]
    found, sliced = _sliced(spec, y, p, groups, how)
    worst = sorted(sliced, key=lambda result: -np.nan_to_num(result.gap.value))[:MOST_SLICES]
    figures = EvaluationFigures(
        rows=rows,
        window=window,
        metrics=_finite(measured, measures),
        slices=tuple(result.figures() for result in worst),
        calibration=_calibration(spec.task, y, p),
        threshold=how.chosen,
        curve=curve(y, p[:, 0], _costs(spec)) if spec.task == "binary" else (),
    )
    return Assessment(Kind.EVALUATION, (*findings, *found) or (_no_gate(),), figures.plain())


def _sliced(
    spec: ModelSpec, y: Array, p: Array, groups: Mapping[str, Array], how: Measuring
) -> tuple[list[Finding], list[slices.SliceResult]]:
    findings: list[Finding] = []
    sliced: list[slices.SliceResult] = []
    for gate in spec.gates:
        if isinstance(gate, SliceGate):
            metric, values = how.of(spec.task)[gate.metric], groups[gate.slice]
            results = slices.measure_slices(
                spec.task, y, p, values, gate, threshold=how.threshold, seed=spec.train.seed, metric=metric
            )
            skipped = len(np.unique(values)) - len(results)
            findings.append(slices.judge_slices(results, gate, skipped, metric))
            sliced += results
    return findings, sliced


def _calibration(task: Task, y: Array, p: Array) -> tuple[Bin, ...] | None:
    if task == "regression":
        return None
    return reliability(y, p[:, 0]) if task == "binary" else reliability(*top_label(y, p))


def _costs(spec: ModelSpec) -> CostMatrix | None:
    return spec.threshold.cost if isinstance(spec.threshold, ThresholdSpec) else None


def _no_gate() -> Finding:
    words = "model.yaml has no gate on a metric, so nothing was judged; add one such as {metric: roc_auc, min: 0.7}"
    return Finding(gate="at least one metric gate", verdict=Verdict.ERROR, message=words)


def _finite(measured: Mapping[str, Estimate], measures: Mapping[str, Metric]) -> dict[str, Measured]:
    return {
        name: Measured(value=found.value, low=found.low, high=found.high, label=measures[name].label)
        for name, found in measured.items()
        if all(map(is_bounded, (found.value, found.low, found.high)))
    }


def reliability(y: Array, chance: Array) -> tuple[Bin, ...]:
    """Return, per tenth of the probability scale that has rows: mean answer, share that came true, rows."""
    clipped = np.clip(np.asarray(chance, dtype=np.float64), 0.0, 1.0)
    bins = np.minimum((clipped * BINS).astype(np.int64), BINS - 1)
    return tuple(
        Bin(
            predicted=float(np.mean(clipped[bins == index])),
            observed=float(np.mean(y[bins == index])),
            rows=int(np.sum(bins == index)),
        )
        for index in np.unique(bins)
    )
