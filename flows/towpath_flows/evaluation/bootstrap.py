"""Bootstrap intervals: rows drawn again with replacement, many at a time (Efron & Tibshirani 1993, chapter 13)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation.draws import cell_counts, resample_counts
from towpath_flows.evaluation.metrics import Floats, Prepared

RESAMPLES = 2000
ROUGH_RESAMPLES = 200  # for intervals that are looked at, not decided on
CONFIDENCE = 0.95
MAX_NEEDED_ROWS = 10**9
_FEWEST_RESAMPLES = 400
_MOST_CELLS = 200_000_000  # rows times resamples: beyond 100,000 rows, fewer resamples give the same ends


@dataclass(frozen=True)
class Estimate:
    """A value and its two-sided confidence interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends."""
        return self.low, self.high


def resample(
    prepared: Sequence[Prepared],
    rows: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    sizes: NDArray[np.int64] | None = None,
) -> Floats:
    """Return the values (resamples, m) of `m` prepared metrics on the same draws, so that differences are paired.

    With `sizes` (rows,) each row is a cell that stands for so many. Of more than 100,000 rows fewer resamples are
    taken, down to 400: the time stays at some seconds.

    Raises:
        ValueError: there are no rows.
    """
    if rows < 1:
        message = "a bootstrap needs at least one row"
        raise ValueError(message)
    resamples = min(resamples, max(_FEWEST_RESAMPLES, _MOST_CELLS // rows))
    draws = resample_counts(rows, resamples, seed) if sizes is None else cell_counts(sizes, resamples, seed)
    blocks = [np.stack([metric(counts) for metric in prepared], axis=1) for counts in draws]
    return np.concatenate(blocks)


def estimates(
    prepared: Mapping[str, Prepared],
    rows: int,
    *,
    confidence: float = CONFIDENCE,
    roughly: bool = False,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return prepared metrics on the rows as they are, each with its interval, all from the same draws.

    `roughly` takes few resamples: see `approximate`.
    """
    drawn = resample(list(prepared.values()), rows, resamples=ROUGH_RESAMPLES if roughly else RESAMPLES, seed=seed)
    everything, summary = np.ones((1, rows)), approximate if roughly else summarise
    return {
        name: summary(float(values(everything)[0]), drawn[:, index], confidence)
        for index, (name, values) in enumerate(prepared.items())
    }


def summarise(value: float, resampled: Floats, confidence: float = CONFIDENCE) -> Estimate:
    """Return `value` with the percentile interval of its resamples; resamples without an answer are left out."""
    finite = resampled[np.isfinite(resampled)]
    if not len(finite) or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def approximate(value: float, resampled: Floats, confidence: float = CONFIDENCE) -> Estimate:
    """Return `value` with the interval that the spread of a few resamples gives it, as if they were normal.

    A spread needs some 200 resamples where percentiles need thousands (Efron & Tibshirani 1993, chapters 6 and 13).
    Good enough to be looked at; what is decided on is left to `summarise`.
    """
    finite = resampled[np.isfinite(resampled)]
    if not len(finite) or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(finite))
    return Estimate(value, value - reach, value + reach)


def rows_to_settle(estimated: Estimate, limit: float, rows: int) -> int | None:
    """Return the rows at which the interval would no longer hold `limit`, if the estimate stays where it is.

    An interval shrinks with the square root of the rows. None when the estimate lies on the limit (or so near that a
    thousand million rows would not do): more rows will not settle it.
    """
    reach = estimated.value - estimated.low if estimated.value >= limit else estimated.high - estimated.value
    distance = abs(estimated.value - limit)
    if not distance or not math.isfinite(reach):
        return None
    needed = rows * (reach / distance) ** 2
    return math.ceil(needed) if needed <= MAX_NEEDED_ROWS else None
