"""Services that are started for a load test, each on a free port of the loopback, and stopped after it."""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from towpath_bento.load.containers import Container
from towpath_bento.load.plan import Contestant, Role
from towpath_gitops.delivery import processes
from towpath_gitops.delivery.loopback import HOST, ask
from towpath_gitops.delivery.targets.local_process import Service, ServiceProcess
from towpath_gitops.errors import DeliveryError, DigestMismatchError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import POINTER, LanePointer, Pointer
from towpath_gitops.records.release import Release

ENVIRONMENT: Final = "load"  # what such a service says of where it is
_COMMAND: Final = (sys.executable, "-m", "towpath_bento")
_START_S, _STOP_S = 180.0, 20.0


class Entrant(NamedTuple):
    """A release that takes part, the folder of its checked artifact, and the image in which it does, if in one."""

    role: Role
    release: Release
    artifact: Path
    image: str | None = None  # registry/name@sha256:…


class Running(Protocol):
    """A service that was started, by whatever means."""

    def alive(self) -> bool:
        """Return whether it has not ended."""

    def pid(self) -> int | None:
        """Return the number of its first process; None when it has ended."""

    def log_tail(self) -> str:
        """Return the last lines that it wrote."""

    def stop(self) -> None:
        """Stop it politely, and what is left of it by force."""


class _Started(NamedTuple):
    entrant: Entrant
    running: Running
    port: int


@contextmanager
def serving(entrants: Sequence[Entrant], code: Path, folder: Path, workers: int) -> Iterator[tuple[Contestant, ...]]:
    """Serve releases side by side, each in its image, or from the code in `code`/service.py with files in `folder`.

    They start at the same time, and are stopped at the end of the block.

    Raises:
        DeliveryError: one does not come to serve; with the end of its log.
        DigestMismatchError: an image serves another release than its record says, or is another.
        MissingDependencyError: podman is not installed, and there is an image.
    """
    started: list[_Started] = []
    try:
        for entrant in entrants:
            started.append(_start(entrant, code, (folder / entrant.role).absolute(), workers))  # noqa: PERF401 (one that fails must not hide the others)
        yield tuple(_ready(each) for each in started)
    finally:
        for each in started:
            each.running.stop()


def _start(entrant: Entrant, code: Path, folder: Path, workers: int) -> _Started:
    port = _free_port()
    if entrant.image is not None:
        return _Started(entrant, Container(entrant.image, port, workers, ENVIRONMENT), port)
    return _Started(entrant, _Process(entrant, code, folder, port, workers), port)


class _Process:
    """A release that this machine's own libraries serve."""

    def __init__(self, entrant: Entrant, code: Path, folder: Path, port: int, workers: int) -> None:
        release = entrant.release
        lane = LanePointer(release=release.id, artifact=release.artifact, path=str(entrant.artifact.absolute()))
        pointer = Pointer(model=release.model, environment=ENVIRONMENT, generation=1, lanes={"champion": lane})
        write_atomically(folder / POINTER, pointer.model_dump_json(by_alias=True))
        self._process = ServiceProcess(folder, folder / "bentoml")
        service = Service(port=port, workers=workers, code=entrant.role, started=datetime.now(UTC))
        self._process.spawn(service, _COMMAND, code / "service.py")

    def alive(self) -> bool:
        number = self._process.number()
        return number is None or processes.alive(number)

    def pid(self) -> int | None:
        return self._process.pid()

    def log_tail(self) -> str:
        return self._process.log_tail()

    def stop(self) -> None:
        pid, until = self._process.pid(), time.monotonic() + _STOP_S
        if pid is not None:
            processes.end(pid)
            while processes.alive(pid) and time.monotonic() < until:
                time.sleep(0.05)
        for left in self._process.family():
            processes.end(left, at_once=True)


def _ready(started: _Started) -> Contestant:
    """Wait until every worker of a service serves."""
    running, until = started.running, time.monotonic() + _START_S
    while not _converged(started):
        if not running.alive() or time.monotonic() > until:
            raise _ended(started)
        time.sleep(0.1)
    pid = running.pid()
    if pid is None:
        raise _ended(started)
    artifact = str(started.entrant.artifact.absolute())
    return Contestant(role=started.entrant.role, port=started.port, pid=pid, artifact=artifact)


def _converged(started: _Started) -> bool:
    try:
        answer = ask(started.port, "/version", timeout_s=2.0)
        said = json.loads(answer.body)
        done = answer.status == 200 and said["converged"] is True  # noqa: PLR2004 (as HTTP counts)
    except (UnavailableError, ValueError, KeyError):
        return False
    release = started.entrant.release
    if done and said["release"] != release.id:
        raise DigestMismatchError(
            f"The {started.entrant.role} does not serve {release}", why=f"It is {said['release']}."
        )
    return done


def _ended(started: _Started) -> DeliveryError:
    return DeliveryError(
        f"The {started.entrant.role} does not come to serve",
        why=f"The end of its log:\n{started.running.log_tail()}",
        hint=f"Can {started.entrant.release} be served at all? See: towpath drill, towpath doctor",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
