"""Releases in memory: those that lanes hold, and as many others as the owner allows, the least recently used let go."""

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from towpath_bento.lane import Lane, load
from towpath_bento.problems import ProblemError
from towpath_bento.settings import Limits
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.pointer import LanePointer

log = logging.getLogger("towpath.bento")

Key = tuple[str, str]  # a release and its artifact


class Held:
    """The releases that one worker has loaded. Lanes are never let go, whoever asks for how many others."""

    def __init__(self, limits: Limits) -> None:
        """Hold nothing yet."""
        self._limits = limits
        self._lanes: dict[Key, Lane] = {}  # the most recently used last
        self._live: frozenset[Key] = frozenset()
        self._loading: dict[Key, asyncio.Task[Lane]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="load")

    def __contains__(self, wanted: LanePointer) -> bool:
        """Whether a release is loaded."""
        return _key(wanted) in self._lanes

    def __len__(self) -> int:
        """Return how many releases are loaded."""
        return len(self._lanes)

    def get(self, wanted: LanePointer) -> Lane:
        """Return a release for a lane, loaded now unless it is held.

        Raises:
            TowpathError: as `lane.load`.
        """
        return self._lanes.get(_key(wanted)) or load(wanted, self._limits.unknown_columns)

    def set_live(self, lanes: Iterable[Lane]) -> None:
        """Hold these, which serve from now on, until others do."""
        live = {(lane.release, lane.artifact): lane for lane in lanes}
        self._live = frozenset(live)
        for key, lane in live.items():
            self._use(key, lane)

    async def fetch(self, wanted: LanePointer) -> Lane:
        """Return a release that is in no lane, loaded when it is asked for; all who ask meanwhile share the load.

        Raises:
            ProblemError: 503, it cannot be loaded; why is for the log.
        """
        key = _key(wanted)
        if key in self._lanes:
            self._use(key, self._lanes[key])
            return self._lanes[key]
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load(wanted))
        try:
            return await asyncio.shield(self._loading[key])
        except (TowpathError, OSError) as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "This release cannot be loaded here any more."
            ) from error

    def close(self) -> None:
        """End the thread that loads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _load(self, wanted: LanePointer) -> Lane:
        key, loop = _key(wanted), asyncio.get_running_loop()
        try:
            lane = await loop.run_in_executor(self._pool, load, wanted, self._limits.unknown_columns)
        except Exception as error:
            log.warning("release %s was asked for and cannot be loaded: %s", wanted.release, error)
            raise
        finally:
            del self._loading[key]
        self._use(key, lane)
        return lane

    def _use(self, key: Key, lane: Lane) -> None:
        self._lanes.pop(key, None)
        self._lanes[key] = lane
        others = [each for each in self._lanes if each not in self._live]
        for oldest in others[: max(0, len(others) - self._limits.releases)]:
            del self._lanes[oldest]


def _key(wanted: LanePointer) -> Key:
    return wanted.release, wanted.artifact
