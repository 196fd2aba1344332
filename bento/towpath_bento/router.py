"""Which lane answers which request, and what the shadow lane makes of the champion's requests."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from towpath_bento import metrics
from towpath_bento.journal.entry import Noted
from towpath_bento.lane import Lane
from towpath_bento.wire import Codec, Request, decisions, entity_of
from towpath_gitops.records.pointer import LaneName, LanePointer, Split
from towpath_gitops.records.signature import Signature

log = logging.getLogger("towpath.bento")

# Requests that may wait for the shadow lane, and how large each may be; others are dropped and counted.
_SHADOW_QUEUE: Final = 64
_SHADOW_BYTES: Final = 2**18
_HASH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Live:
    """What a worker serves at one moment; replaced as a whole, never changed."""

    generation: int
    lanes: Mapping[LaneName, Lane]
    split: Split | None = None
    earlier: tuple[LanePointer, ...] = ()  # releases that are in no lane and may be asked by their ids
    contract: Codec | None = field(init=False, default=None)  # where lanes share the traffic, and read it alike
    looks_up: bool = field(init=False)  # whether a lane takes features from an online store

    def __post_init__(self) -> None:
        """Find out once what would cost each request as much as its prediction."""
        object.__setattr__(self, "looks_up", any(lane.looks_up for lane in self.lanes.values()))
        champion, challenger = self.lanes.get("champion"), self.lanes.get("challenger")
        if champion and challenger and champion.codec.reads_as(challenger.codec):
            object.__setattr__(self, "contract", champion.codec)

    def choose(self, body: bytes, request: Request | None = None) -> tuple[LaneName, Lane] | None:
        """Return the lane that answers `request`, read from `body` or yet to be; None when no champion is live.

        The same entity key always gets the same lane while the split stands; a request without a key is its own key.
        """
        champion, challenger = self.lanes.get("champion"), self.lanes.get("challenger")
        if champion is None:
            return None
        if self.split is None or challenger is None or self.split.mode == "shadow":
            return "champion", champion
        entity = entity_of(body) if request is None else request.entity
        chosen = _falls_within(self.split, entity, body)
        return ("challenger", challenger) if chosen else ("champion", champion)

    def named(self, name: str) -> tuple[LaneName, Lane] | None:
        """Return the lane of this name, whatever the split says; None when it is not live."""
        return next((pair for pair in self.lanes.items() if pair[0] == name), None)

    def may_pin(self, name: str) -> bool:
        """Whether a caller may choose the lane of this name.

        During a canary either, so that people can try what is new. Not during an A/B test, whose two groups would no
        longer be alike, and never the shadow, whose answers are nobody's.
        """
        mode = self.split.mode if self.split is not None else None
        return name in {None: ("champion",), "shadow": ("champion",), "canary": ("champion", "challenger")}.get(
            mode, ()
        )

    def find(self, release: str) -> Lane | LanePointer | None:
        """Return the release of this id, or where it lies when it is in no lane; None when it never served here."""
        here = next((lane for lane in self.lanes.values() if lane.release == release), None)
        return here or next((each for each in self.earlier if each.release == release), None)

    def shadow(self, request: Request, body: bytes) -> Lane | None:
        """Return the lane that shall score the request besides the champion, or None."""
        lane = self.lanes.get("shadow")
        if lane is None or self.split is None or self.split.mode != "shadow":
            return None
        return lane if _falls_within(self.split, request.entity, body) else None


def position(salt: str, key: bytes) -> float:
    """Return where a key stands in [0, 1): uniform over keys, independent between salts, the same on every machine."""
    salted = _salted(salt).copy()
    salted.update(key)
    return (int.from_bytes(salted.digest()) >> 11) / 2**53  # as many bits as a float holds, so that it stays below 1


@lru_cache(16)
def _salted(salt: str) -> "hashlib.blake2b":
    return hashlib.blake2b(salt.encode() + b"\0", digest_size=_HASH_BYTES)


def _falls_within(split: Split, entity: str | None, body: bytes) -> bool:
    return position(split.salt, body if entity is None else entity.encode()) < split.share


class Shadow:
    """Scores requests in the shadow lane, one after the other, off the callers' path."""

    def __init__(self, told: Callable[[Noted], None], complete: Callable[[Signature, bytes], Awaitable[bytes]]) -> None:
        """Start with an empty queue.

        `complete` looks up for a request what a release's own signature says; `told` is called with each of the
        shadow's answers. Both are called in the event loop.
        """
        self._told, self._complete = told, complete
        self._queue: asyncio.Queue[tuple[Lane, Noted, bytes]] = asyncio.Queue(_SHADOW_QUEUE)

    def offer(self, lane: Lane, noted: Noted, body: bytes) -> None:
        """Queue a request with what the champion answered; dropped and counted when there is no room for it."""
        if self._queue.full() or len(body) > _SHADOW_BYTES:
            metrics.SHADOW_DROPPED.inc()
        else:
            self._queue.put_nowait((lane, noted, body))

    async def run(self) -> None:
        """Score until cancelled."""
        while True:
            lane, champion, body = await self._queue.get()
            with contextlib.suppress(Exception):
                body = await self._complete(lane.codec.signature, body)
                self._told(await asyncio.to_thread(_compare, lane, champion, body))


def _compare(lane: Lane, champion: Noted, body: bytes) -> Noted:
    """Score `body` as the shadow's own signature reads it, and count how far it is from the champion's answer."""
    started_s = time.perf_counter()
    try:
        columns = lane.codec.decode(body).columns
        values = lane.engine.predict(columns)
        took_s = time.perf_counter() - started_s
        difference = float(np.abs(values - champion.values).max(axis=1).sum())
        disagreeing = decisions(lane.codec.signature, values) != decisions(
            champion.lane.codec.signature, champion.values
        )
    except Exception as error:
        log.warning("the shadow lane failed on a request: %s", error)
        raise
    metrics.SHADOW_ROWS.labels(lane.release).inc(len(values))
    metrics.SHADOW_DIFFERENCE.labels(lane.release).inc(difference)
    metrics.SHADOW_DISAGREEMENTS.labels(lane.release).inc(int(np.sum(disagreeing)))
    return champion._replace(name=metrics.SHADOW, lane=lane, columns=columns, values=values, took_s=took_s)
