"""Champion against challenger on the same rows: the difference with its interval, and which decisions flip."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation.bootstrap import Estimate, resample, rows_to_settle, summarise
from towpath_flows.evaluation.metrics import METRICS, Floats, decide
from towpath_flows.spec import ComparisonGate
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.signature import Task

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Duel:
    """The truth `y` (n,) and what two models answered to the same rows (n, k)."""

    task: Task
    y: Array
    champion: Array
    challenger: Array
    threshold: float = 0.5

    @property
    def rows(self) -> int:
        """How many rows both answered."""
        return len(self.y)

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Which rows (n,) are decided differently; for regression none is, for there is no decision."""
        if self.task == "regression":
            return np.zeros(self.rows, dtype=bool)
        before, after = (decide(self.task, answers, self.threshold) for answers in (self.champion, self.challenger))
        return np.asarray(before != after)

    def where(self, chosen: NDArray[np.bool_]) -> "Duel":
        """Return the duel on the chosen rows (n,) only."""
        return Duel(self.task, self.y[chosen], self.champion[chosen], self.challenger[chosen], self.threshold)


@dataclass(frozen=True)
class Difference:
    """One metric of both models, and challenger minus champion with its interval, in the metric's own direction."""

    metric: str
    champion: float
    challenger: float
    difference: Estimate
    rows: int

    @property
    def gain(self) -> Estimate:
        """The difference turned so that positive is better."""
        if METRICS[self.metric].greater_is_better:
            return self.difference
        value = self.difference
        return Estimate(-value.value, -value.high, -value.low)

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "metric": self.metric,
            "champion": self.champion,
            "challenger": self.challenger,
            "difference": self.difference.value,
            "interval": list(self.difference.interval),
            "rows": self.rows,
        }


def difference(duel: Duel, metric: str, *, confidence: float = 0.95, seed: int = 0) -> Difference:
    """Measure both models on every resample of the same rows (paired bootstrap, Efron & Tibshirani 1993, chapter 16).

    Pairing removes what both share, the luck of the rows; the interval of the difference is far narrower than the
    intervals of the two values.
    """
    prepared = [
        METRICS[metric].prepare(duel.task, duel.y, answers, duel.threshold)
        for answers in (duel.champion, duel.challenger)
    ]
    everything = np.ones((1, duel.rows))
    champion, challenger = (float(values(everything)[0]) for values in prepared)
    drawn = resample(prepared, duel.rows, seed=seed)
    estimated = summarise(challenger - champion, drawn[:, 1] - drawn[:, 0], confidence)
    return Difference(metric, champion, challenger, estimated, duel.rows)


def judge(measured: Difference, gate: ComparisonGate) -> Finding:
    """Return the verdict of non-inferiority: may the challenger be worse by more than the margin?

    The gain (positive is better) has a two-sided interval. Its whole above -margin: pass; its whole below: fail;
    otherwise the rows do not tell (Piaggio et al. 2012, *Reporting of noninferiority trials*, CONSORT).
    """
    gain, name = measured.gain, METRICS[gate.metric].label
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
        limit=-gate.margin if METRICS[gate.metric].greater_is_better else gate.margin,
        interval=measured.difference.interval,
        needed_rows=needed,
    )


def _verdict(gain: Estimate, limit: float) -> Verdict:
    if gain.low >= limit:
        return Verdict.PASS
    return Verdict.FAIL if gain.high < limit else Verdict.INCONCLUSIVE


def _words(measured: Difference, gate: ComparisonGate, verdict: Verdict, needed: int | None) -> str:
    gain, name = measured.gain, METRICS[gate.metric].label
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
    return Finding(gate=str(gate), verdict=Verdict.PASS, message="There is no champion to compare with yet")


def flips(duel: Duel) -> dict[str, Any]:
    """Return how many decisions change from champion to challenger, their share, and how many become right."""
    changed = duel.flipped
    right = decide(duel.task, duel.challenger[changed], duel.threshold) == duel.y[changed]
    return {
        "flips": int(changed.sum()),
        "flipped": float(changed.mean()),
        "corrected": int(right.sum()),
    }


def by_slice(duel: Duel, metric: str, slices: Mapping[str, Floats | Array]) -> list[dict[str, Any]]:
    """Return for every value of every slice column (n,) both values of the metric, and the share of flips."""
    found = []
    for column, values in slices.items():
        for value in np.unique(values):
            part = duel.where(values == value)
            champion, challenger = (
                METRICS[metric].measure(duel.task, part.y, answers, duel.threshold)
                for answers in (part.champion, part.challenger)
            )
            figures = {"champion": _finite(champion), "challenger": _finite(challenger)}
            flipped = float(part.flipped.mean())
            found.append({"slice": column, "value": str(value), "rows": part.rows, **figures, "flipped": flipped})
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
