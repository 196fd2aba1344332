"""How often each row is drawn when as many rows are drawn as there are, with replacement: many resamples at a time.

The counts of such a draw have the multinomial law. It is also that of independent Poisson counts, given how many they
are together (Fisher 1922), whatever their mean. So Poisson counts of a mean a little below one are drawn, of which a
processor makes sixteen at once, and then the few rows that are lacking, one by one. In the rare case that the counts
are too many already they are thrown away: which of the rows they are does not depend on how many they are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

# How often each row, or cell of rows, occurs in each resample (b, n): whole numbers of any type, or floats.
Counts = NDArray[Any]

_CHUNK_CELLS: Final = 100_000  # counts held at once: small enough for a processor's cache
_SPARE: Final = 4.0  # deviations below the number of rows: one resample of thirty thousand is thrown away
_BITS: Final = 1 << 16
_MOST: Final = 20  # a Poisson count of a mean below 1 is larger once in 10^18


@dataclass(frozen=True)
class PoissonLaw:
    """A Poisson law for draws from 16 random bits, without error.

    A draw counts the `steps` that its bits reach. Those above `known` stand for what 1 / 65,536 is too coarse for:
    they have the law whose sums are `rest` (20,), and are drawn from that.
    """

    steps: tuple[int, ...]
    known: int
    rest: NDArray[np.float64]

    @classmethod
    def of(cls, mean: float) -> Self:
        """Return the law of a mean from 0 to 1."""
        chances = _BITS * np.array([math.exp(-mean) * mean**k / math.factorial(k) for k in range(_MOST)])
        whole = np.floor(chances).astype(np.int64)
        sums = np.cumsum(whole)
        last = int(np.flatnonzero(whole)[-1])
        rest = np.cumsum(chances - whole)
        return cls(tuple(map(int, sums[:last])), int(sums[-1]), rest / rest[-1] if rest[-1] > 0 else np.ones(_MOST))

    def draw(self, random: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """Return counts (size,)."""
        bits = random.integers(1 << 64, size=-(-size // 4), dtype=np.uint64).view(np.uint16)[:size]
        counts = np.zeros(size, dtype=np.uint8)
        for step in self.steps:
            counts += (bits >= step).view(np.uint8)
        rare = np.flatnonzero(bits >= self.known)
        counts[rare] = np.searchsorted(self.rest, random.random(len(rare)), side="right")
        return counts


def resample_counts(rows: int, resamples: int, seed: int) -> Iterator[Counts]:
    """Yield blocks (b, rows) of how often each row was drawn; together `resamples` of them, the same for a seed."""
    random, law = np.random.default_rng(seed), PoissonLaw.of(max(0.0, 1 - _SPARE / math.sqrt(rows)))
    step = max(1, _CHUNK_CELLS // rows)
    for start in range(0, resamples, step):
        yield _drawn(random, law, min(step, resamples - start), rows)


def _drawn(random: np.random.Generator, law: PoissonLaw, block: int, rows: int) -> NDArray[np.uint8]:
    """Return counts (block, rows), `rows` in each resample."""
    counts = law.draw(random, block * rows).reshape(block, rows)
    lacking = rows - counts.sum(axis=1, dtype=np.int64)
    while (excess := lacking < 0).any():
        counts[excess] = law.draw(random, int(excess.sum()) * rows).reshape(-1, rows)
        lacking[excess] = rows - counts[excess].sum(axis=1, dtype=np.int64)
    places = np.repeat(np.arange(block) * rows, lacking) + random.integers(rows, size=int(lacking.sum()))
    np.add.at(counts.reshape(-1), places, np.uint8(1))
    return counts


def cell_counts(sizes: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Counts]:
    """Yield blocks (b, cells) of how many rows of each cell were drawn, where a cell holds `sizes` (cells,) rows."""
    random, rows = np.random.default_rng(seed), int(sizes.sum())
    step = max(1, _CHUNK_CELLS // len(sizes))
    for start in range(0, resamples, step):
        yield random.multinomial(rows, sizes / rows, size=min(step, resamples - start))
