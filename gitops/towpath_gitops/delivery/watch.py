"""Passes without end: soon after main moves, now and then for what drifts, and ever more slowly while a part is away.

The remote is asked for main's commit only, which costs nothing; a whole pass is made when that has moved, when places
are pending or failed, and every so often even when nothing has happened, for services die without a commit. What is
told is what has changed, and a sign of life.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from towpath_gitops.delivery.sweep import Sweeper, Swept
from towpath_gitops.errors import MissingDependencyError, TowpathError, UncleanRepositoryError

INTERVAL_S: Final = 10.0
_ALL: Final = "all places"
_BACKED_OFF: Final = 30.0  # times the interval: never rarer than that


class _StoppedError(Exception):
    """Somebody asked it to end, in the middle of a pass."""


def _ignore(_: Swept) -> None:
    """Leave it at that."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Whoever makes passes until `stop` is set.

    `interval_s` is how often the remote is asked, give or take a tenth, so that many clones do not ask at once; a pass
    is made at least every `resync_s`, and a sign of life given every `heartbeat_s`. `tell` is called with lines, `seen`
    with what each pass came to.
    """

    sweeper: Sweeper
    tell: Callable[[str], None]
    seen: Callable[[Swept], None] = _ignore
    stop: threading.Event = field(default_factory=threading.Event)
    interval_s: float = INTERVAL_S
    resync_s: float = 60.0
    heartbeat_s: float = 300.0
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    chance: Callable[[], float] = random.random

    def run(self) -> None:
        """Watch until `stop` is set, which ends a pass where it waits; each place gives its lease back.

        Raises:
            UncleanRepositoryError, MissingDependencyError: there is nothing that could be watched.
        """
        state = _State(self)
        while not self.stop.is_set():
            try:
                state.look()
            except _StoppedError:
                break
            except (UncleanRepositoryError, MissingDependencyError):
                raise
            except TowpathError as error:
                state.failed(error)
            self.wait(self.stop, state.pause_s())
        self.tell("Stopped; whatever serves goes on serving.")

    def sleep(self, seconds: float) -> None:
        """Wait inside a pass."""
        if self.wait(self.stop, seconds):
            raise _StoppedError


@dataclass
class _State:
    """What a watch remembers between two looks; lost, it costs one pass."""

    watch: Watch
    main: str | None = None  # that the last pass looked at
    passes: int = 0
    unwell: int = 0  # looks in a row after which something was still to be tried again
    said: dict[str, str] = field(default_factory=dict)  # what was told of each place, as long as it holds
    passed_s: float = float("-inf")
    told_s: float = float("-inf")

    def look(self) -> None:
        """Ask for main's commit, and make a pass when there is reason to."""
        repository, now_s = self.watch.sweeper.repository, self.watch.clock()
        moved = self.main != repository.advertised(f"refs/heads/{repository.branch}")
        if moved or self.unwell or now_s - self.passed_s >= self.watch.resync_s:
            swept = replace(self.watch.sweeper, sleep=self.watch.sleep).sweep()
            self.main, self.passed_s, self.passes = swept.commit, now_s, self.passes + 1
            self.unwell = self.unwell + 1 if swept.failures else 0
            self._tell(swept)
            self.watch.seen(swept)
            if swept.pending:  # there is work: the next pass comes at once
                self.passed_s = float("-inf")
        else:
            self.unwell = 0
        self._beat(now_s)

    def failed(self, error: TowpathError) -> None:
        """Remember that nothing could be looked at, and say so once."""
        self.unwell += 1
        self._say(_ALL, f"✗ {_ALL}: {error.what}")

    def pause_s(self) -> float:
        """Return how long to wait now: twice as long for every look in a row that was in vain."""
        factor = min(2.0 ** max(0, self.unwell - 1), _BACKED_OFF)
        return self.watch.interval_s * factor * (0.9 + 0.2 * self.watch.chance())

    def _tell(self, swept: Swept) -> None:
        now = dict(_news(swept))
        for place in [place for place in self.said if place not in now]:
            del self.said[place]
            self.watch.tell(f"✓ {place}: well again")
        for place, line in now.items():
            self._say(place, line)
        for outcome in swept.outcomes:
            if outcome.changed or outcome.entries:
                self.watch.tell(f"✓ {outcome.model} in {outcome.environment}: serves {outcome.release}{outcome.beside}")

    def _say(self, place: str, line: str) -> None:
        if self.said.get(place) != line:
            self.said[place] = line
            self.watch.tell(line)

    def _beat(self, now_s: float) -> None:
        if now_s - self.told_s >= self.watch.heartbeat_s:
            self.told_s = now_s
            well = f"{len(self.said)} unwell" if self.said else "all well"
            self.watch.tell(f"Watching: main at {(self.main or '')[:12]}, {self.passes} passes, {well}.")


def _news(swept: Swept) -> Iterator[tuple[str, str]]:
    """Yield what is wrong or open, by place: told once, for as long as it stays so."""
    for place, error in swept.failures:
        yield str(place), f"✗ {place}: {error.what}"
    for outcome in swept.outcomes:
        if outcome.shift:
            name = f"{outcome.model} in {outcome.environment}"
            yield name, f"! {name}: DIVERGED, {outcome.release} serves in place of what main declares"
    if swept.pending:
        yield "the rest", f"! the rest: {len(swept.pending):,} pending"
