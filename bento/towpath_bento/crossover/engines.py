"""Two engines for one model: one for few rows and one for many."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towpath_bento import metrics
from towpath_bento.columns import Blocks, Columns
from towpath_bento.engines import Engine

log = logging.getLogger("towpath.bento")

_BUSY = threading.Lock()  # held by the one request whose rows are spread


class Spread:
    """An engine whose rows are shared out among threads; trees answer bit for bit what they do on one.

    More threads inside onnxruntime would cost 13 % more processor time for the same rows, add up the trees in another
    order, and wait for work by spinning. An engine must leave the interpreter to others while it computes.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        """Let `threads` threads compute, the caller's among them."""
        self._engine, self._threads = engine, threads

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return (n, k) floats for rows as `Blocks`; on the caller's thread alone while another's rows are spread."""
        if not isinstance(columns, Blocks) or not _BUSY.acquire(blocking=False):
            return self._engine.predict(columns)
        try:
            ends = np.linspace(0, columns.rows, self._threads + 1, dtype=int).tolist()
            own, *others = [columns.cut(*bounds) for bounds in pairwise(ends)]
            waiting = [_pool(self._threads - 1).submit(self._engine.predict, part) for part in others]
            return np.concatenate([self._engine.predict(own), *(each.result() for each in waiting)])
        finally:
            _BUSY.release()


class Many(NamedTuple):
    """The engine that answers from `rows` rows on."""

    rows: int
    name: str
    engine: Engine


class ByRows:
    """A model's engine for few rows, and for many another as soon as one is measured and proved; until then the one."""

    def __init__(self, few: Engine, release: str) -> None:
        """Answer everything with `few`."""
        self.few, self._release = few, release
        self.many: Many | None = None
        self.settled = False  # whether it is known who answers many rows

    @property
    def shown(self) -> dict[str, object] | None:
        """Who answers many rows, and from how many on, in JSON types; None where everything has one engine."""
        return None if self.many is None else {"engine": self.many.name, "rows": self.many.rows}

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return (n, k) floats for columns of shape (n, 1)."""
        many = self.many
        if many is None or not isinstance(columns, Blocks) or columns.rows < many.rows:
            return self.few.predict(columns)
        try:
            values = many.engine.predict(columns)
        except Exception:  # the first engine can do without the second
            log.exception("%s failed on %d rows of %s, and is not asked again", many.name, columns.rows, self._release)
            self.many = None
            return self.few.predict(columns)
        metrics.MANY_ROWS.labels(self._release, many.name).inc(columns.rows)
        return values


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="spread")
