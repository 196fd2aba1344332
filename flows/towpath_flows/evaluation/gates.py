"""Measurements and thresholds become verdicts. A limit inside the interval is neither a pass nor a fail."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation import slices
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.bootstrap import Estimate, estimates, rows_to_settle
from towpath_flows.evaluation.metrics import BINS, METRICS, metrics_of
from towpath_flows.spec import MetricGate, ModelSpec, SliceGate
from towpath_gitops.records.evidence import Finding, Kind, Verdict

Array = NDArray[np.generic]

_VERBS = {Verdict.PASS: "meets", Verdict.FAIL: "misses"}


def judge(gate: MetricGate, measured: Estimate, rows: int) -> Finding:
    """Return the verdict on a floor or a ceiling.

    Pass when the whole two-sided interval is on the right side of the limit, fail when it is wholly on the wrong side,
    otherwise inconclusive with the rows that would settle it if the estimate stays where it is.
    """
    metric = METRICS[gate.metric]
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


def evaluate(
    spec: ModelSpec, y: Array, p: Array, groups: Mapping[str, Array], window: tuple[str | None, str | None]
) -> Assessment:
    """Judge a model's answers `p` (n, k) to the test rows with truth `y` (n,) by the metric and slice gates.

    `groups` holds the column (n,) of every slice gate. Every metric of the task is measured, judged or not, and kept
    in the details with its interval, beside the reliability curve of a binary model.
    """
    rows = len(y)
    prepared = {metric.name: metric.prepare(spec.task, y, p, spec.threshold) for metric in metrics_of(spec.task)}
    measured = estimates(prepared, rows, seed=spec.train.seed)
    findings = [judge(gate, measured[gate.metric], rows) for gate in spec.gates if isinstance(gate, MetricGate)]
    sliced: list[slices.SliceResult] = []
    for gate in spec.gates:
        if isinstance(gate, SliceGate):
            results = slices.measure_slices(
                spec.task, y, p, groups[gate.slice], gate, threshold=spec.threshold, seed=spec.train.seed
            )
            skipped = len(np.unique(groups[gate.slice])) - len(results)
            findings.append(slices.judge_slices(results, gate, skipped))
            sliced += results
    details: dict[str, Any] = {"rows": rows, "window": list(window), "metrics": _plain(measured)}
    details |= {"slices": [result.plain() for result in sliced]}
    if spec.task == "binary":
        details["calibration"] = reliability(y, p[:, 0])
    return Assessment(Kind.EVALUATION, tuple(findings) or (_no_gate(),), details)


def _no_gate() -> Finding:
    words = "model.yaml has no gate on a metric, so nothing was judged; add one such as {metric: roc_auc, min: 0.7}"
    return Finding(gate="at least one metric gate", verdict=Verdict.ERROR, message=words)


def _plain(measured: Mapping[str, Estimate]) -> dict[str, Any]:
    return {
        name: {"value": found.value, "low": found.low, "high": found.high}
        for name, found in measured.items()
        if all(math.isfinite(value) for value in (found.value, found.low, found.high))
    }


def reliability(y: Array, chance: Array) -> list[dict[str, float]]:
    """Return, per tenth of the probability scale that has rows: mean answer, share that came true, rows."""
    bins = np.minimum((np.asarray(chance, dtype=np.float64) * BINS).astype(np.int64), BINS - 1)
    return [
        {
            "predicted": float(np.mean(chance[bins == index])),
            "observed": float(np.mean(y[bins == index])),
            "rows": int(np.sum(bins == index)),
        }
        for index in np.unique(bins)
    ]
