"""Each live release is given its engine for many rows: measured once on a machine, and kept beside the pointer.

It is measured where it serves, for it depends on cores and what else runs on them, of which whoever packages an image
knows nothing; and after a release has become live, so that no switch and no way back waits for it.
"""

import asyncio
import fcntl
import gc
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from towpath_bento.columns import Blocks
from towpath_bento.crossover.engines import Many, Spread
from towpath_bento.crossover.measuring import SIZES, Measured, difference, measure
from towpath_bento.crossover.probes import probes
from towpath_bento.engines import Engine, native
from towpath_bento.lane import Lane, golden_rows
from towpath_bento.settings import ManyRows
from towpath_gitops.errors import InvalidFileError, TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.artifact import check_artifact
from towpath_gitops.records.base import Digest, Record, short
from towpath_gitops.records.parsing import parse_json

log = logging.getLogger("towpath.bento")

FOLDER: Final = "crossovers"  # beside the pointer, one file for each artifact that was measured
_PAUSE_S: Final = 1.0  # after a release became live: whoever switched to it asks it first
_MOST_THREADS: Final = 8
_LIBRARIES: Final = ("onnxruntime", "numpy", "xgboost", "lightgbm", "scikit-learn")


class Crossover(Record):
    """What was measured of one artifact. It holds as long as the machine is the one that it was measured on."""

    artifact: Digest
    machine: str
    engine: str | None = None
    rows: int | None = None
    gain: float | None = None


class Settling:
    """Finds out who answers many rows, for the lanes of one worker."""

    def __init__(self, settings: ManyRows, workers: int, folder: Path) -> None:
        """Share the machine's cores with `workers` - 1 others; keep what is measured in `folder`."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = settings.threads or min(_MOST_THREADS, max(1, cores // workers))
        self._native, self._folder = settings.native, folder

    async def run(self, lanes: Callable[[], Iterable[Lane]]) -> None:
        """Settle whatever lane is live, until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_S)
            for lane in lanes():
                if not lane.engine.settled:
                    await asyncio.to_thread(self.settle, lane)

    def settle(self, lane: Lane) -> None:
        """Give a lane its engine for many rows, if there is one that is faster; whatever fails, it serves as before."""
        lane.engine.settled = True
        try:
            others = self._others(lane)
            if not others:
                return
            probe = probes(lane.codec.signature, golden_rows(lane), max(SIZES))
            with _alone(self._folder):
                found = self._read(lane) or self._measure(lane, others, probe)
            _give(lane, found, others, probe)
        except Exception as error:  # noqa: BLE001 (an engine more or less is no reason to end)
            log.warning("who answers many rows of %s is not known: %s", short(lane.release), error)

    def _others(self, lane: Lane) -> dict[str, Engine]:
        """Return the engines that might be faster, by the names that they are shown under."""
        named = {lane.codec.signature.engine: lane.engine.few}
        if self._native and lane.codec.signature.engine != "native":
            try:
                check_artifact(lane.folder, lane.artifact)
                named["native"] = native.open_engine(lane.folder, lane.codec.signature)
                gc.freeze()  # as the follower does: what was imported is never garbage
            except TowpathError as error:
                log.warning("the native engine cannot answer many rows of %s: %s", short(lane.release), error)
        counts = [2**power for power in range(self._threads.bit_length()) if 2**power <= self._threads]
        found = {
            f"{name}, {threads} thread{'s' * (threads > 1)}": Spread(engine, threads) if threads > 1 else engine
            for name, engine in named.items()
            for threads in counts
        }
        return {name: engine for name, engine in found.items() if engine is not lane.engine.few}

    def _measure(self, lane: Lane, others: Mapping[str, Engine], probe: Blocks) -> Measured:
        apart = {name: difference(lane.engine.few, engine, probe) for name, engine in others.items()}
        found = measure(lane.engine.few, {name: others[name] for name in others if apart[name] is None}, probe)
        kept = Crossover(artifact=lane.artifact, machine=self._machine, **found._asdict())
        write_atomically(self._path(lane), kept.model_dump_json(by_alias=True, indent=1) + "\n")
        for name, why in apart.items():
            if why is not None:
                log.warning("%s never answers for %s: %s", name, short(lane.release), why)
        return found

    def _read(self, lane: Lane) -> Measured | None:
        """Return what was measured before, on this machine and with these libraries."""
        path = self._path(lane)
        try:
            kept = parse_json(path.read_bytes(), Crossover, source=str(path))
        except (OSError, InvalidFileError):
            return None
        same = (kept.artifact, kept.machine) == (lane.artifact, self._machine)
        return Measured(kept.engine, kept.rows, kept.gain) if same else None

    def _path(self, lane: Lane) -> Path:
        return self._folder / f"{short(lane.artifact)}.json"

    @property
    def _machine(self) -> str:
        known = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
        return f"{self._threads} threads, native {'on' if self._native else 'off'}, {known}"


def _give(lane: Lane, found: Measured, others: Mapping[str, Engine], probe: Blocks) -> None:
    """Let the engine that was found answer, once it has proved itself in this very process."""
    if found.engine is None or found.rows is None:
        log.info("few and many rows of %s have one engine: nothing is faster here", short(lane.release))
        return
    engine = others.get(found.engine)
    why = "it is not here" if engine is None else difference(lane.engine.few, engine, probe)
    if engine is None or why is not None:
        log.warning("%s never answers for %s: %s", found.engine, short(lane.release), why)
        return
    lane.engine.many = Many(max(found.rows, min(SIZES)), found.engine, engine)
    words = "%s answers for %s from %d rows on, %.1f times as fast"
    log.info(words, found.engine, short(lane.release), lane.engine.many.rows, found.gain)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one worker measure at a time: the next finds what this one wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
