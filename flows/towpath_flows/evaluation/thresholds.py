"""From which probability a binary model decides: chosen on validation rows by what mistakes cost, or by a rate."""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evidence_spec import CostMatrix, ThresholdSpec
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.figures import ChosenThreshold, OperatingPoint

_POINTS: Final = 25  # of the curve that is kept, by rank and as many by value
_LEAST: Final = 1e-6  # a threshold lies between 0 and 1
_HALF: Final = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cuts:
    """What every threshold that makes a difference would decide: counts (m,) of the four outcomes, highest first."""

    bounds: Floats  # (m + 1,): the cut i lies between the bounds i and i + 1
    hits: Floats
    alarms: Floats
    positives: int
    rows: int

    @classmethod
    def of(cls, y: NDArray[Any], chance: NDArray[Any]) -> Self:
        """Cut between every two neighbouring probabilities (n,), and beyond the least and the greatest.

        `y` (n,) holds 0 and 1. A cut lies in the middle of its gap, so that a rounding of the probabilities does not
        change a decision.
        """
        order = np.argsort(-chance, kind="stable")
        sorted_ = np.asarray(chance, dtype=np.float64)[order]
        ends = np.flatnonzero(np.diff(sorted_, append=-1.0) != 0)
        taken = np.concatenate([[0], ends + 1])
        bounds = np.concatenate([[1.0], sorted_[ends], [0.0]])
        hits = np.concatenate([[0], np.cumsum(y[order] == 1)])[taken]
        return cls(bounds, hits.astype(np.float64), taken - hits, int((y == 1).sum()), len(y))

    @property
    def thresholds(self) -> Floats:
        """The middles of the gaps (m,), highest first."""
        return np.asarray((self.bounds[:-1] + self.bounds[1:]) / 2)

    def at(self, threshold: float) -> int:
        """Return which cut decides as `threshold` does."""
        return int((self.bounds[1:-1] >= threshold).sum())

    def tidy(self, index: int) -> float:
        """Return a threshold of a cut with as few digits as its gap allows, from two on."""
        high, low, middle = float(self.bounds[index]), float(self.bounds[index + 1]), float(self.thresholds[index])
        rounded = (round(middle, digits) for digits in range(2, 17))
        found = next((value for value in rounded if low < value <= high), high)
        return min(max(found, _LEAST), 1 - _LEAST)

    def costs(self, matrix: CostMatrix) -> Floats:
        """Return the mean cost of a row (m,)."""
        misses, negatives = self.positives - self.hits, self.rows - self.positives
        total = matrix.miss * misses + matrix.false_alarm * self.alarms
        total += matrix.hit * self.hits + matrix.rejection * (negatives - self.alarms)
        return np.asarray(total / self.rows)

    @property
    def recall(self) -> Floats:
        """Share of the positives that are found (m,)."""
        return np.asarray(self.hits / max(self.positives, 1))

    @property
    def precision(self) -> Floats:
        """Share of the alarms that are right (m,); 1 where there is none."""
        decided = self.hits + self.alarms
        return np.divide(self.hits, decided, out=np.ones_like(decided), where=decided > 0)

    @property
    def false_alarms(self) -> Floats:
        """Share of the negatives that are taken for positives (m,)."""
        return np.asarray(self.alarms / max(self.rows - self.positives, 1))

    @property
    def decided(self) -> Floats:
        """Share of the rows that are decided for (m,)."""
        return np.asarray((self.hits + self.alarms) / self.rows)


def choose(asked: ThresholdSpec, y: NDArray[Any], chance: NDArray[Any]) -> ChosenThreshold:
    """Return the threshold that fits validation rows best: truth (n,) of 0 and 1, probabilities (n,).

    By cost: the least mean cost (Elkan 2001, *The foundations of cost-sensitive learning*, but found on rows instead of
    trusted to calibration). By rate: recall and false alarms as few decisions as the target takes, precision as many
    as it allows, positives as near as possible. Of equals the one nearest to a half.

    Raises:
        TrainingError: no threshold reaches the target, or one of the classes does not occur.
    """
    cuts = Cuts.of(y, chance)
    if not 0 < cuts.positives < cuts.rows:
        raise TrainingError(
            "No threshold can be chosen: the validation rows hold one class only",
            why=f"{cuts.positives:,} of {cuts.rows:,} rows are positive.",
            hint="Enlarge split.validation, or give `threshold` as a number.",
        )
    index = _best(asked, cuts)
    return ChosenThreshold(
        value=cuts.tidy(index),
        rule=str(asked),
        rows=cuts.rows,
        point=_point(cuts, index, asked.cost),
        at_half=_point(cuts, cuts.at(_HALF), asked.cost),
    )


def curve(y: NDArray[Any], chance: NDArray[Any], cost: CostMatrix | None = None) -> tuple[OperatingPoint, ...]:
    """Return what about fifty thresholds would decide on rows: evenly by rank and by value, highest first."""
    cuts = Cuts.of(y, chance)
    by_rank = np.linspace(0, len(cuts.thresholds) - 1, _POINTS).astype(int)
    by_value = np.searchsorted(-cuts.thresholds, -np.linspace(1, 0, _POINTS)).clip(max=len(cuts.thresholds) - 1)
    return tuple(_point(cuts, int(index), cost) for index in np.unique(np.concatenate([by_rank, by_value])))


def _best(asked: ThresholdSpec, cuts: Cuts) -> int:
    loss = _losses(asked, cuts)
    if not np.isfinite(loss).any():
        raise TrainingError(
            f"No threshold reaches the target: {asked}",
            why=f"On {cuts.rows:,} validation rows the precision is {float(cuts.precision[1:].max()):.3f} at best.",
            hint="Ask for less, or train a better model.",
        )
    best = np.flatnonzero(loss <= loss.min() + 1e-12)
    return int(best[np.argmin(np.abs(cuts.thresholds[best] - _HALF))])


def _losses(asked: ThresholdSpec, cuts: Cuts) -> Floats:
    """Return what is to be small (m,); infinite where the target is missed."""
    if asked.cost is not None:
        return cuts.costs(asked.cost)
    if asked.recall is not None:
        return np.where(cuts.recall >= asked.recall, cuts.decided, np.inf)
    if asked.precision is not None:
        return np.where((cuts.precision >= asked.precision) & (cuts.decided > 0), -cuts.decided, np.inf)
    if asked.false_alarms is not None:
        return np.where(cuts.false_alarms <= asked.false_alarms, -cuts.decided, np.inf)
    return np.abs(cuts.decided - (asked.positives or 0.0))


def _point(cuts: Cuts, index: int, cost: CostMatrix | None) -> OperatingPoint:
    return OperatingPoint(
        threshold=float(cuts.thresholds[index]),
        recall=float(cuts.recall[index]),
        precision=float(cuts.precision[index]),
        false_alarms=float(cuts.false_alarms[index]),
        positives=float(cuts.decided[index]),
        cost=None if cost is None else float(cuts.costs(cost)[index]),
    )
