"""Who asks next, and when: one queue of arrivals from which all users of a test take.

Requests come when they are due, not when a connection happens to be free; one that no connection was free for is late,
and its latency runs from when it was due. A driver that sleeps a moment too long is not held against the service.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from math import inf

import gevent
from gevent.event import Event

from towpath_bento.load.shapes import due_after
from towpath_bento.load.traffic import Traffic
from towpath_gitops.records.load import Shape


@dataclass
class Call:
    """One request that is due: what is sent, and since when its caller waits."""

    body: bytes
    rows: int
    since_s: float
    answered: bool = False

    def done(self, status: int) -> None:
        """Note how it was answered: a status, or 0 where there was no answer."""
        self.answered = status == 200  # noqa: PLR2004 (the one good answer)


@dataclass
class Tally:
    """What became of the requests of one stretch."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: int = 0
    rows: int = 0

    def add(self, call: Call, latency_ms: float) -> None:
        """Count a request that has ended."""
        self.latencies_ms.append(latency_ms)
        self.errors += not call.answered
        self.rows += call.rows if call.answered else 0


@dataclass(frozen=True)
class Stretched:
    """One stretch: so many seconds at a rate, or as fast as connections allow where the rate is None."""

    seconds: float
    rate: float | None
    seed: int
    shape: Shape = "steady"


class Arrivals:
    """The queue of arrivals of one service; closed until a stretch begins."""

    def __init__(self, traffic: Traffic) -> None:
        """Send this traffic."""
        self._traffic = traffic
        self._open, self._idle = Event(), Event()
        self._idle.set()
        self._busy = 0
        self.tally = Tally()

    def begin(self, stretch: Stretched) -> None:
        """Let users ask from now on; stretches of the same seed send the same requests at the same moments."""
        self.tally, self._stretch = Tally(), stretch
        start = stretch.seed * 997 % len(self._traffic.bodies)
        pairs = list(zip(self._traffic.bodies, self._traffic.rows, strict=True))
        self._requests = islice(cycle(pairs), start, None)
        self._gaps = self._traffic.arrivals(stretch.seed)
        self._began_s, self._due_s = time.perf_counter(), 0.0
        self._open.set()

    def end(self, patience_s: float) -> None:
        """Wait until the stretch is over and every request of it has its answer, or is given up."""
        gevent.sleep(max(self._began_s + self._stretch.seconds - time.perf_counter(), 0))
        self._open.clear()
        self._idle.wait(patience_s)

    @contextmanager
    def next(self) -> Iterator[Call]:
        """Wait until the next request is due, and count what becomes of it."""
        self._busy += 1
        self._idle.clear()
        try:
            call = self._wait()
            yield call
            self.tally.add(call, (time.perf_counter() - call.since_s) * 1e3)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    def _wait(self) -> Call:
        while True:
            if not self._open.is_set():
                self._park()
            due_s = self._draw()
            if due_s is not None:
                break
            self._open.clear()
        body, rows = next(self._requests)
        late_s = time.perf_counter() - due_s
        if late_s < 0:
            gevent.sleep(-late_s)
            return Call(body, rows, time.perf_counter())
        return Call(body, rows, due_s)

    def _park(self) -> None:
        """Wait for a stretch to begin, counted among those who have nothing to do."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()
        try:
            self._open.wait()
        finally:
            self._busy += 1
            self._idle.clear()

    def _draw(self) -> float | None:
        """Return when the next request is due, on the clock; None at the stretch's end. The first is due at once."""
        stretch = self._stretch
        if stretch.rate is None:
            now_s = time.perf_counter()
            return now_s if now_s < self._began_s + stretch.seconds else None
        whole_s = stretch.seconds if stretch.seconds < inf else 1.0
        due_s = self._due_s
        if due_s >= stretch.seconds:
            return None
        self._due_s = due_after(stretch.shape, stretch.rate, due_s, whole_s, next(self._gaps))
        return self._began_s + due_s
