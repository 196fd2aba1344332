"""What is made of an answer after it was given: counts, and the journal. A request pays for one append.

Noted answers are worked through between requests, in the event loop itself: a thread would take the interpreter from a
request for milliseconds at a time. Only a large batch, whose answer took far longer, goes to one.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, Protocol

from towpath_bento import vitals
from towpath_bento.journal.entry import Noted
from towpath_bento.lane import Lane
from towpath_bento.tally import Tally

PERIOD_S: Final = 0.25  # after which an answer is counted at the latest
BATCH_ROWS: Final = 128  # after which it is at once
_LARGE_ROWS: Final = 2_048
_TALLIES: Final = 32  # lanes whose counters are at hand


class Sink(Protocol):
    """Where sampled answers go."""

    def offer(self, noted: Sequence[Noted]) -> None:
        """Take them without waiting."""
        ...


class Recorder:
    """Notes the answers of one worker."""

    def __init__(self) -> None:
        """Count everything, and give none to a journal."""
        self._share = 0.0
        self._journal: Sink | None = None
        self._noted: list[Noted] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False
        self._tallies: dict[tuple[str, str, str], Tally] = {}  # by lane, release and artifact

    def remember(self, share: float, journal: Sink) -> None:
        """Give the `share` of all requests to `journal` from now on."""
        self._share, self._journal = share, journal

    def samples(self) -> bool:
        """Decide by chance whether the journal shall remember a request."""
        return self._share > 0 and random.random() < self._share  # noqa: S311 (a sample, no secret)

    def note(self, noted: Noted) -> None:
        """Remember an answer until the next round; called in the event loop."""
        self._noted.append(noted)
        self._rows += len(noted.values)
        if self._rows >= BATCH_ROWS and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._round)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._round)

    def drain(self) -> None:
        """Count now what was noted."""
        self._work(self._take())

    def _round(self) -> None:
        vitals.update()
        if self._rows <= _LARGE_ROWS:
            self.drain()
        else:
            asyncio.get_running_loop().run_in_executor(None, self._work, self._take())

    def _take(self) -> Sequence[Noted]:
        noted, self._noted, self._rows, self._soon = self._noted, [], 0, False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return noted

    def _work(self, noted: Sequence[Noted]) -> None:
        groups: dict[tuple[str, str, str], list[Noted]] = {}
        for each in noted:
            groups.setdefault((each.name, each.lane.release, each.lane.artifact), []).append(each)
        for key, group in groups.items():
            self._tally(key, group[0].lane).count(group)
        if self._journal is not None and (sampled := [each for each in noted if each.sampled]):
            self._journal.offer(sampled)

    def _tally(self, key: tuple[str, str, str], lane: Lane) -> Tally:
        if key not in self._tallies:
            while len(self._tallies) >= _TALLIES:
                self._tallies.pop(next(iter(self._tallies)), None)
            self._tallies[key] = Tally(key[0], lane)
        return self._tallies[key]
