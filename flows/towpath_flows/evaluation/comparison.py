"""Champion against challenger on the same rows: every metric's difference with its interval, and the verdicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.deciding import Rule
from towpath_flows.evaluation.bootstrap import (
    RESAMPLES,
    ROUGH_RESAMPLES,
    Estimate,
    approximate,
    resample,
    rows_to_settle,
    summarise,
)
from towpath_flows.evaluation.metrics import METRICS, Metric, decide, metrics_of
from towpath_flows.spec import ComparisonGate
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.figures import MetricDifference, is_bounded
from towpath_gitops.records.signature import Task

Array = NDArray[np.generic]

NO_CHAMPION: Final = "There is no champion to compare with yet"


@dataclass(frozen=True)
class Duel:
    """The truth `y` (n,) and what two models answered to the same rows (n, k).

    Each decides by the threshold that it is served with; `champion_threshold` None is the challenger's.
    """

    task: Task
    y: Array
    champion: Array
    challenger: Array
    threshold: Rule = 0.5
    champion_threshold: Rule | None = None
    measures: Mapping[str, Metric] = field(default_factory=lambda: METRICS)

    @property
    def rows(self) -> int:
        """How many rows both were asked."""
        return len(self.y)

    @property
    def sides(self) -> tuple[tuple[Array, Rule], tuple[Array, Rule]]:
        """The answers (n, k) and the threshold of champion and challenger."""
        old = self.threshold if self.champion_threshold is None else self.champion_threshold
        return (self.champion, old), (self.challenger, self.threshold)

    @property
    def decisions(self) -> tuple[Array, Array]:
        """What champion and challenger decide (n,): class codes, or values for regression."""
        before, after = (decide(self.task, answers, threshold) for answers, threshold in self.sides)
        return before, after

    @property
    def answered(self) -> NDArray[np.bool_]:
        """To which rows (n,) both gave finite numbers."""
        finite = [np.isfinite(answers.astype(np.float64)).all(axis=1) for answers in (self.champion, self.challenger)]
        return np.asarray(finite[0] & finite[1])

    def where(self, chosen: Array) -> "Duel":
        """Return the duel on chosen rows only: a mask (n,) or indices."""
        kept = (self.y[chosen], self.champion[chosen], self.challenger[chosen])
        measures = {name: metric.of(chosen) for name, metric in self.measures.items()}
        return Duel(self.task, *kept, self.threshold, self.champion_threshold, measures)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics of the task, then the owner's own."""
        own = (name for name in self.measures if name not in METRICS)
        return (*(metric.name for metric in metrics_of(self.task)), *own)


@dataclass(frozen=True)
class Difference:
    """One metric of both models, and challenger minus champion with its interval, in the metric's own direction."""

    metric: str
    champion: float
    challenger: float
    difference: Estimate
    rows: int
    own: Metric | None = None  # where the metric is the owner's own

    @property
    def measure(self) -> Metric:
        """What is measured."""
        return self.own or METRICS[self.metric]

    @property
    def gain(self) -> Estimate:
        """The difference turned so that positive is better."""
        if self.measure.greater_is_better:
            return self.difference
        value = self.difference
        return Estimate(-value.value, -value.high, -value.low)

    def figures(self, gate: ComparisonGate | None) -> MetricDifference | None:
        """Return the difference as evidence holds it, with the margin of the gate; None where it is not defined."""
        metric, change = self.measure, self.difference
        if not all(map(is_bounded, (self.champion, self.challenger, change.value))):
            return None
        return MetricDifference(
            metric=metric.name,
            label=metric.label,
            greater_is_better=metric.greater_is_better,
            unit="target" if metric.in_target_units else "1",
            champion=self.champion,
            challenger=self.challenger,
            difference=change.value,
            interval=change.interval if all(map(is_bounded, change.interval)) else None,
            confidence=gate.confidence if gate else 0.95,
            margin=gate.margin if gate else None,
        )


def difference(duel: Duel, metric: str, *, confidence: float = 0.95, seed: int = 0) -> Difference:
    """Measure both models on every resample of the same rows; see `differences`."""
    (found,) = differences(duel, [metric], confidences=[confidence], seed=seed)
    return found


def differences(
    duel: Duel,
    metrics: Sequence[str],
    *,
    confidences: Sequence[float] | None = None,
    seed: int = 0,
) -> list[Difference]:
    """Measure both models on every resample of the same rows (paired bootstrap, Efron & Tibshirani 1993, chapter 16).

    Pairing removes what both share, the luck of the rows; the interval of the difference is far narrower than the
    intervals of the two values. All metrics are measured on the same draws. Without `confidences` they are only to be
    looked at, and measured roughly: there are many of them.
    """
    prepared = [
        duel.measures[metric].prepare(duel.task, duel.y, answers, threshold)
        for metric in metrics
        for answers, threshold in duel.sides
    ]
    if not prepared:
        return []
    everything = np.ones((1, duel.rows))
    values = [float(measure(everything)[0]) for measure in prepared]
    drawn = resample(prepared, duel.rows, resamples=RESAMPLES if confidences else ROUGH_RESAMPLES, seed=seed)
    found = []
    for index, metric in enumerate(metrics):
        champion, challenger = values[2 * index : 2 * index + 2]
        gaps = drawn[:, 2 * index + 1] - drawn[:, 2 * index]
        change = challenger - champion
        estimated = summarise(change, gaps, confidences[index]) if confidences else approximate(change, gaps)
        found.append(Difference(metric, champion, challenger, estimated, duel.rows, duel.measures[metric]))
    return found


def compare(
    duel: Duel, gates: Sequence[ComparisonGate], *, seed: int = 0
) -> list[tuple[Difference, ComparisonGate | None]]:
    """Measure every metric of the task: first those that gates judge, as exactly as a verdict needs, then the rest."""
    judged = differences(
        duel, [gate.metric for gate in gates], confidences=[gate.confidence for gate in gates], seed=seed
    )
    named = {gate.metric for gate in gates}
    others = [name for name in duel.names if name not in named]
    shown = differences(duel, others, seed=seed)
    return [*zip(judged, gates, strict=True), *((found, None) for found in shown)]


def judge(measured: Difference, gate: ComparisonGate) -> Finding:
    """Return the verdict of non-inferiority: may the challenger be worse by more than the margin?

    The gain (positive is better) has a two-sided interval. Its whole above -margin: pass; its whole below: fail;
    otherwise the rows do not tell (Piaggio et al. 2012, *Reporting of noninferiority trials*, CONSORT).
    """
    gain, name = measured.gain, measured.measure.label
    if not all(math.isfinite(value) for value in (gain.value, gain.low, gain.high)):
        return Finding(gate=str(gate), verdict=Verdict.ERROR, message=f"{name} is not defined on these rows")
    verdict = _verdict(gain, -gate.margin)
    settled = verdict is not Verdict.INCONCLUSIVE
    needed = None if settled else rows_to_settle(gain, -gate.margin, measured.rows)
    return Finding(
        gate=str(gate),
        verdict=verdict,
        message=_words(measured, gate, verdict, needed),
        measured=measured.difference.value,
        limit=-gate.margin if measured.measure.greater_is_better else gate.margin,
        interval=measured.difference.interval,
        needed_rows=needed,
    )


def _verdict(gain: Estimate, limit: float) -> Verdict:
    if gain.low >= limit:
        return Verdict.PASS
    return Verdict.FAIL if gain.high < limit else Verdict.INCONCLUSIVE


def _words(measured: Difference, gate: ComparisonGate, verdict: Verdict, needed: int | None) -> str:
    gain, name = measured.gain, measured.measure.label
    ends = f"{gate.confidence:.0%} interval {measured.difference.low:+.4f} to {measured.difference.high:+.4f}"
    figures = (
        f"{name} {measured.challenger:.4f} against the champion's {measured.champion:.4f} on the same "
        f"{measured.rows:,} rows: {measured.difference.value:+.4f} ({ends})"
    )
    if verdict is Verdict.PASS:
        return f"{figures}: {'better' if gain.low > 0 else f'not worse by more than {gate.margin:g}'}"
    if verdict is Verdict.FAIL:
        return f"{figures}: worse by more than {gate.margin:g}"
    more = f"about {needed:,} rows would settle it" if needed else "more rows will not settle it"
    return f"{figures}: it may or may not be worse by more than {gate.margin:g}; {more}"


def no_champion(gate: ComparisonGate) -> Finding:
    """Return the finding for the first release: there is nobody to lose to."""
    return Finding(gate=str(gate), verdict=Verdict.PASS, message=NO_CHAMPION)
