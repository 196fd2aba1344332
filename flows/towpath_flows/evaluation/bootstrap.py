"""Bootstrap intervals: rows drawn again with replacement, many at a time (Efron & Tibshirani 1993, chapter 13)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation.metrics import Floats, Prepared

RESAMPLES = 2000
ROUGH_RESAMPLES = 200  # for intervals that are looked at, not decided on
CONFIDENCE = 0.95
MAX_NEEDED_ROWS = 10**9
_FEWEST_RESAMPLES = 400
_MOST_CELLS = 200_000_000  # rows times resamples: beyond 100,000 rows, fewer resamples give the same ends
_CHUNK_CELLS = 100_000  # counts held at once: small enough for a processor's cache
_DRAWN = 8_192  # rows drawn at once: for more, each draw asks the system for fresh pages, which takes as long again


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


def resample_counts(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks (b, rows) of how often each row was drawn; together `resamples` of them, the same for a seed."""
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // rows)
    for start in range(0, resamples, step):
        counts = np.empty((min(step, resamples - start), rows))
        for each in counts:  # one at a time: counting in all of them at once would miss the cache
            _count(random, each)
        yield counts


def _count(random: np.random.Generator, counts: Floats) -> None:
    """Draw as many rows as there are counts (rows,), and write how often each came."""
    rows = len(counts)
    if rows <= _DRAWN:
        counts[:] = np.bincount(random.integers(rows, size=rows, dtype=np.int32), minlength=rows)
        return
    counts.fill(0)
    for first in range(0, rows, _DRAWN):
        np.add.at(counts, random.integers(rows, size=min(_DRAWN, rows - first)), 1.0)


def cell_counts(sizes: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks (b, cells) of how many rows of each cell were drawn, where a cell holds `sizes` (cells,) rows."""
    random, rows = np.random.default_rng(seed), int(sizes.sum())
    step = max(1, _CHUNK_CELLS // len(sizes))
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        yield random.multinomial(rows, sizes / rows, size=block).astype(np.float64)


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
