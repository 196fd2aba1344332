"""Does any group of rows fare worse than the whole by more than is allowed? Many groups, few false alarms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.deciding import Rule
from towpath_flows.evaluation.assessment import one_line
from towpath_flows.evaluation.bootstrap import Estimate, summarise
from towpath_flows.evaluation.condensing import rows_of, sample_of
from towpath_flows.evaluation.draws import Counts
from towpath_flows.evaluation.metrics import METRICS, Floats, Metric, Prepared
from towpath_flows.spec import SliceGate
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.figures import SliceFigures, is_bounded
from towpath_gitops.records.signature import Task

SMALLEST_SLICE: Final = 200  # rows; smaller groups are listed, not judged
SMALLEST_CLASS: Final = 20  # rows of each class that a judged group of a classification holds
SLICE_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class SliceResult:
    """One group: the metric there, how much worse than the whole it is, and the p-value of “worse than allowed”."""

    column: str
    value: str
    rows: int
    measured: Estimate
    gap: Estimate
    p_value: float

    def figures(self) -> SliceFigures:
        """Return the figures as evidence holds them; what is not defined is left open."""
        return SliceFigures(
            column=one_line(self.column),
            value=one_line(self.value).strip() or "(empty)",
            rows=self.rows,
            measured=_finite(self.measured.value),
            interval=self.measured.interval if all(map(is_bounded, self.measured.interval)) else None,
            gap=_finite(self.gap.value),
            p_value=self.p_value,
        )


def _finite(value: float) -> float | None:
    return value if is_bounded(value) else None


def false_discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Return which hypotheses are rejected so that at most `rate` of the rejections are wrong on average.

    The step-up procedure of Benjamini & Hochberg (1995), *Controlling the false discovery rate*.
    """
    if not p_values:
        return []
    from scipy.stats import false_discovery_control  # noqa: PLC0415 (takes half a second)

    return [bool(value <= rate) for value in false_discovery_control(p_values, method="bh")]


def measure_slices(  # noqa: PLR0913 (a measurement needs its truth, answers, groups and gate)
    task: Task,
    y: NDArray[np.generic],
    p: NDArray[np.generic],
    groups: NDArray[np.generic],
    gate: SliceGate,
    *,
    threshold: Rule = 0.5,
    seed: int = 0,
    metric: Metric | None = None,
) -> list[SliceResult]:
    """Measure `gate.metric` in every group of rows that is large enough, on resamples of all rows.

    `groups` (n,) holds each row's value of the slice column; `metric` is the gate's, where it is the owner's own. The
    p-value is the share of resamples in which the gap does not exceed `gate.gap` (a bootstrap test, Efron & Tibshirani
    1993, chapter 16), never below 1 / (resamples + 1).
    """
    metric = metric or METRICS[gate.metric]
    values = [value for value in np.unique(groups) if _is_large(task, y[groups == value])]
    if not values:
        return []
    masks = [groups == value for value in values]
    whole, drawn = _drawn(metric, task, (y, p, masks), threshold, seed)
    gaps, drawn_gaps = metric.sign * (whole[0] - whole[1:]), metric.sign * (drawn[:, :1] - drawn[:, 1:])
    return [
        SliceResult(
            gate.slice,
            str(value),
            int(masks[index].sum()),
            summarise(float(whole[index + 1]), drawn[:, index + 1]),
            summarise(float(gaps[index]), drawn_gaps[:, index]),
            _p_value(drawn_gaps[:, index], gate.gap),
        )
        for index, value in enumerate(values)
    ]


def _drawn(
    metric: Metric,
    task: Task,
    given: tuple[NDArray[np.generic], NDArray[np.generic], list[NDArray[np.bool_]]],
    threshold: Rule,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the metric of the whole and of each group, as they are (1 + g,) and on resamples (r, 1 + g)."""
    y, p, masks = given
    codes = np.full(len(y), -1, dtype=np.int64)
    for code, mask in enumerate(masks):
        codes[mask] = code
    sample = rows_of(y, p, codes)
    if not metric.looks_at_rows:
        sample = sample_of(task, y, p, threshold=threshold, groups=codes)
    prepared = [metric.prepare(task, sample.y, sample.p, threshold)]
    for part in (sample.groups == code for code in range(len(masks))):
        inner = metric.of(part).prepare(task, sample.y[part], sample.p[part], threshold)
        prepared.append(_within(part, inner))
    about = np.concatenate([values(sample.sizes[None].astype(np.float64)) for values in prepared])
    exact = about
    if sample.y is not y:
        parts = [metric.measure(task, y[mask], p[mask], threshold) for mask in masks]
        exact = np.array([metric.measure(task, y, p, threshold), *parts])
    return exact, sample.draw(prepared, resamples=SLICE_RESAMPLES, seed=seed) + (exact - about)


def _is_large(task: Task, y: NDArray[np.generic]) -> bool:
    if len(y) < SMALLEST_SLICE:
        return False
    return task == "regression" or min(np.unique(y, return_counts=True)[1]) >= SMALLEST_CLASS < len(y)


def _within(mask: NDArray[np.bool_], prepared: Prepared) -> Prepared:
    rows = np.flatnonzero(mask)

    def values(counts: Counts) -> Floats:
        return prepared(np.take(counts, rows, axis=1))

    return values


def _p_value(gaps: Floats, allowed: float) -> float:
    finite = gaps[np.isfinite(gaps)]
    return float((np.sum(finite <= allowed) + 1) / (len(finite) + 1))


def judge_slices(
    results: Sequence[SliceResult], gate: SliceGate, skipped: int = 0, metric: Metric | None = None
) -> Finding:
    """Return the verdict over all groups: fail when any is worse than allowed, after the false discovery control.

    `skipped` groups were too small to be measured; the message says how many.
    """
    if not results:
        message = f"No value of {gate.slice} has the {SMALLEST_SLICE} rows that a judgement needs"
        return Finding(gate=str(gate), verdict=Verdict.INCONCLUSIVE, message=message, needed_rows=SMALLEST_SLICE)
    name = (metric or METRICS[gate.metric]).label
    found = [
        result
        for result, rejected in zip(results, false_discoveries([r.p_value for r in results], gate.fdr), strict=True)
        if rejected
    ]
    worst = max(found or results, key=lambda result: result.gap.value)
    count = f"{len(found)} of {len(results)} groups are" if found else f"None of {len(results)} groups is shown to be"
    words = (
        f"{count} worse than overall by more than {gate.gap:g}; the worst is {gate.slice} = {worst.value}: "
        f"{name} {worst.measured.value:.4f} on {worst.rows:,} rows, a gap of {worst.gap.value:.4f}"
    )
    words += f"; {skipped} more have too few rows to judge" if skipped else ""
    return Finding(
        gate=str(gate),
        verdict=Verdict.FAIL if found else Verdict.PASS,
        message=one_line(words),
        measured=worst.gap.value,
        limit=gate.gap,
        interval=worst.gap.interval if all(map(math.isfinite, worst.gap.interval)) else None,
    )
