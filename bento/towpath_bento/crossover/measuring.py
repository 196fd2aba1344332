"""From how many rows on another engine is faster: timed in turns, after it has proved that it answers the same."""

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towpath_bento.columns import Blocks
from towpath_bento.engines import Engine
from towpath_gitops.records.golden import TOLERANCE

# Fewer rows are never the second engine's: golden requests have the same bytes on every machine.
SIZES: Final = (256, 512, 1024, 2048, 4096)
MARGIN: Final = 1.2  # times as fast as the first engine must another be, to be worth its while
_ROUNDS: Final = 3
_ENOUGH_S: Final = 0.05  # a call of the first engine that takes as long is the largest that is timed


class Measured(NamedTuple):
    """The fastest engine for many rows, from how many on, and how many times as fast it is; None where the first is."""

    engine: str | None = None
    rows: int | None = None
    gain: float | None = None


def difference(few: Engine, other: Engine, probe: Blocks) -> str | None:
    """Return how another engine answers otherwise than the first; None where it does not.

    Answers may differ by 1e-6, of a value beyond 1 by so much of it, as in golden requests.
    """
    try:
        wanted, found = few.predict(probe), other.predict(probe)
    except Exception as error:  # noqa: BLE001 (whatever a library raises, it is not fit to serve)
        return f"it fails: {type(error).__name__}: {error}"
    if found.shape != wanted.shape:
        return f"it answers the shape {found.shape}, not {wanted.shape}"
    return _distance(wanted, found)


def _distance(wanted: NDArray[Any], found: NDArray[Any]) -> str | None:
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], found[~finite], equal_nan=True):
        return "it does not agree on which answers are numbers"
    here = wanted[finite].astype(np.float64)
    apart = np.abs(found[finite] - here) / np.maximum(1.0, np.abs(here))
    if apart.size and not np.max(apart) <= TOLERANCE:  # a NaN is no number up to the tolerance
        return f"it differs by {np.max(apart):.3g}, more than {TOLERANCE:g}"
    return None


def measure(few: Engine, others: Mapping[str, Engine], probe: Blocks) -> Measured:
    """Time engines that agree, on the clock and in turns, and return who shall answer many rows.

    An engine answers from the least number of rows at which it is `MARGIN` times as fast as the first, and stays so.
    """
    gains: dict[int, dict[str, float]] = {}
    for rows in (size for size in SIZES if size <= probe.rows):
        took_s, gains[rows] = _compare(few, others, probe.cut(0, rows))
        if took_s > _ENOUGH_S:
            break
    found = [Measured(name, start, gains[max(gains)][name]) for name in others if (start := _from(gains, name))]
    return max(found, key=lambda each: each.gain or 0.0, default=Measured())


def _compare(few: Engine, others: Mapping[str, Engine], probe: Blocks) -> tuple[float, dict[str, float]]:
    """Return the seconds that the first engine takes, and how many times as fast each other is."""
    rounds: Sequence[tuple[float, dict[str, float]]] = [
        (_took_s(few, probe), {name: _took_s(engine, probe) for name, engine in others.items()}) for _ in range(_ROUNDS)
    ]
    gains = {name: median(own / theirs[name] for own, theirs in rounds) for name in others}
    return median(own for own, _ in rounds), gains


def _took_s(engine: Engine, probe: Blocks) -> float:
    started_s = time.perf_counter()
    engine.predict(probe)
    return time.perf_counter() - started_s


def _from(gains: Mapping[int, Mapping[str, float]], name: str) -> int | None:
    rows: int | None = None
    for size in sorted(gains, reverse=True):
        if gains[size][name] < MARGIN:
            break
        rows = size
    return rows
