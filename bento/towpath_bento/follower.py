"""One worker of the service: it follows the pointer, keeps the lanes it names live, and says what it holds."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from towpath_bento import metrics
from towpath_bento.held import Held
from towpath_bento.lane import Lane
from towpath_bento.router import Live
from towpath_bento.settings import Limits
from towpath_gitops.errors import InvalidFileError, TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import WORKERS, LaneName, Pointer, WorkerState

log = logging.getLogger("towpath.bento")

POLL_S: Final = 0.1

Stamp = tuple[int, int, int]


class Follower:
    """Follows one pointer file. Used from one event loop; loading happens in a thread beside it."""

    def __init__(self, model: str, pointer: Path, limits: Limits | None = None) -> None:
        """Follow the file `pointer`, which must be about `model`, and keep this worker's state in a file beside it."""
        self.model = model
        self.held = Held(limits or Limits())
        self.environment = ""  # known from the first pointer on
        self.live = Live(0, {})
        self.error: str | None = None
        self.pointer = pointer
        self.states = pointer.parent / WORKERS
        self._seen: Stamp | None = None
        self._wanted: int | None = None  # the generation that is being brought live
        self._parent = os.getppid()
        self._reported: bool | None = None  # whether the newest is; None as long as there is nothing to tell

    @property
    def ready(self) -> bool:
        """Whether a champion is live."""
        return "champion" in self.live.lanes

    async def run(self) -> None:
        """Look at the pointer every `POLL_S` seconds until cancelled; end the worker when its supervisor has died."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("the pointer could not be followed; trying again")
                self._seen = None
            await asyncio.sleep(POLL_S)
            if os.getppid() != self._parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    async def look(self) -> None:
        """Bring live what the pointer names, if it has changed since the last look.

        The swap is one assignment between two requests. Whatever goes wrong, the old lanes go on serving and the reason
        is written into the worker's state; it is tried again when the pointer is written again.
        """
        stamp = _stamp(self.pointer)
        if stamp is not None and stamp != self._seen:
            self._seen, self._wanted = stamp, None
            try:
                live = await asyncio.to_thread(self._prepare)
            except Exception as error:  # noqa: BLE001 (whatever a wanted release does, the old one must go on serving)
                self._fail(error)
            else:
                self._swap(live)
            self._reported = False
        if self._reported is False or (self._reported and not self._state.exists()):
            # On a full disk it is tried again at each look: until it is said, the service has not converged.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._report)
                self._reported = True

    def withdraw(self) -> None:
        """Remove this worker's state: it is about to end."""
        self._state.unlink(missing_ok=True)

    @property
    def _state(self) -> Path:
        return self.states / f"{os.getpid()}.json"

    def _prepare(self) -> Live:
        pointer = read_pointer(self.pointer)
        self._wanted = pointer.generation
        if pointer.model != self.model:
            raise InvalidFileError(
                f"The pointer is about the model “{pointer.model}”", why=f"This service serves “{self.model}”."
            )
        self.environment = pointer.environment
        lanes = {name: self.held.get(wanted) for name, wanted in pointer.lanes.items()}
        return Live(pointer.generation, lanes, pointer.split, pointer.earlier)

    def _swap(self, live: Live) -> None:
        before = self.live
        if not before.lanes:
            # What was imported and loaded lives as long as the process: without it in the collector's sight a full
            # collection, which stops every request, has nothing to walk through.
            gc.collect()
        gc.freeze()
        self.live, self.error = live, None
        self.held.set_live(live.lanes.values())
        _count(before.lanes, live.lanes)
        metrics.GENERATION.set(live.generation)
        log.info("generation %d is live: %s", live.generation, _names(live.lanes))

    def _fail(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, TowpathError) else f"{type(error).__name__}: {error}"
        # With its number, the same fault in a later generation is another error to whoever waits for one.
        self.error = reason if self._wanted is None else f"Generation {self._wanted}: {reason}"
        metrics.LOAD_FAILURES.inc()
        log.error("generation %d stays: %s", self.live.generation, self.error)

    def _report(self) -> None:
        releases = {name: lane.release for name, lane in self.live.lanes.items()}
        state = WorkerState(pid=os.getpid(), generation=self.live.generation, lanes=releases, error=self.error)
        write_atomically(self._state, state.model_dump_json(by_alias=True))
        for pid in _pids(self.states):
            if not is_alive(pid):
                (self.states / f"{pid}.json").unlink(missing_ok=True)
                metrics.forget_process(pid)


def read_pointer(path: Path) -> Pointer:
    """Return the pointer in the file `path`.

    Raises:
        InvalidFileError: it is not one.
        OSError: it cannot be read.
    """
    return parse_json(path.read_bytes(), Pointer, source=str(path))


def read_states(folder: Path) -> list[WorkerState]:
    """Return what the living workers of a service last said about themselves, by process id."""
    states = []
    for pid in filter(is_alive, _pids(folder)):
        try:
            state = parse_json((folder / f"{pid}.json").read_bytes(), WorkerState, source=str(pid))
        except (OSError, InvalidFileError):
            continue  # it ended, or was no worker's file
        states.append(state)
    return states


def clear_states(pointer: Path) -> None:
    """Remove what the workers of an earlier service said beside `pointer`: a new one is about to start."""
    folder = pointer.parent / WORKERS
    for pid in _pids(folder):
        (folder / f"{pid}.json").unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it exists and belongs to somebody else
    return True


def _pids(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit())


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _count(before: Mapping[LaneName, Lane], now: Mapping[LaneName, Lane]) -> None:
    """Tell which release this worker holds live in which lane, and since when."""
    for name, lane in before.items():
        if now.get(name) != lane:
            metrics.SERVING.labels(name, lane.release).set(0)
            metrics.LIVE_SINCE.labels(name, lane.release).set(0)
    for name, lane in now.items():
        metrics.SERVING.labels(name, lane.release).set(1)
        if before.get(name) != lane:
            metrics.LIVE_SINCE.labels(name, lane.release).set(time.time())


def _names(lanes: Mapping[LaneName, Lane]) -> str:
    return ", ".join(f"{name} {lane.release}" for name, lane in lanes.items()) or "no lane"
