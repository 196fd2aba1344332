"""Services that are started for a load test, each on a free port of the loopback, and stopped after it."""

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from towpath_bento.load.plan import Contestant, Role
from towpath_gitops.delivery import processes
from towpath_gitops.delivery.loopback import HOST, ask
from towpath_gitops.delivery.targets.local_process import Service, ServiceProcess
from towpath_gitops.errors import DeliveryError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import POINTER, LanePointer, Pointer
from towpath_gitops.records.release import Release

ENVIRONMENT: Final = "load"  # what such a service says of where it is
_COMMAND: Final = (sys.executable, "-m", "towpath_bento")
_START_S, _STOP_S = 180.0, 20.0


class Entrant(NamedTuple):
    """A release that takes part, and the folder of its checked artifact."""

    role: Role
    release: Release
    artifact: Path


class _Started(NamedTuple):
    entrant: Entrant
    process: ServiceProcess
    port: int


@contextmanager
def serving(entrants: Sequence[Entrant], code: Path, folder: Path, workers: int) -> Iterator[tuple[Contestant, ...]]:
    """Serve releases side by side from the code in `code`/service.py, with their files in `folder`.

    They start at the same time, and are stopped at the end of the block.

    Raises:
        DeliveryError: one does not come to serve; with the end of its log.
    """
    started: list[_Started] = []
    try:
        for entrant in entrants:
            started.append(_start(entrant, code, (folder / entrant.role).absolute(), workers))  # noqa: PERF401 (one that fails must not hide the others)
        yield tuple(_ready(each) for each in started)
    finally:
        for each in started:
            _stop(each.process)


def _start(entrant: Entrant, code: Path, folder: Path, workers: int) -> _Started:
    release, port = entrant.release, _free_port()
    lane = LanePointer(release=release.id, artifact=release.artifact, path=str(entrant.artifact.absolute()))
    pointer = Pointer(model=release.model, environment=ENVIRONMENT, generation=1, lanes={"champion": lane})
    write_atomically(folder / POINTER, pointer.model_dump_json(by_alias=True))
    process = ServiceProcess(folder, folder / "bentoml")
    service = Service(port=port, workers=workers, code=entrant.role, started=datetime.now(UTC))
    process.spawn(service, _COMMAND, code / "service.py")
    return _Started(entrant, process, port)


def _ready(started: _Started) -> Contestant:
    """Wait until every worker of a service serves."""
    process, until = started.process, time.monotonic() + _START_S
    while not _converged(started.port):
        number = process.number()
        if (number is not None and not processes.alive(number)) or time.monotonic() > until:
            raise _ended(started)
        time.sleep(0.1)
    pid = process.pid()
    if pid is None:
        raise _ended(started)
    artifact = str(started.entrant.artifact.absolute())
    return Contestant(role=started.entrant.role, port=started.port, pid=pid, artifact=artifact)


def _converged(port: int) -> bool:
    try:
        answer = ask(port, "/version", timeout_s=2.0)
        return answer.status == 200 and json.loads(answer.body)["converged"] is True  # noqa: PLR2004 (as HTTP counts)
    except (UnavailableError, ValueError, KeyError):
        return False


def _ended(started: _Started) -> DeliveryError:
    return DeliveryError(
        f"The {started.entrant.role} does not come to serve",
        why=f"The end of its log:\n{started.process.log_tail()}",
        hint=f"Can {started.entrant.release} be served at all? See: towpath drill, towpath doctor",
    )


def _stop(process: ServiceProcess) -> None:
    """Stop a service politely, and what is left of it by force."""
    pid, until = process.pid(), time.monotonic() + _STOP_S
    if pid is not None:
        processes.end(pid)
        while processes.alive(pid) and time.monotonic() < until:
            time.sleep(0.05)
    for left in process.family():
        processes.end(left, at_once=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
