"""The process that serves one model in one environment: how it is started, found again, and what it last said.

It is known by files, and where these are lost by itself: it carries in its environment whose pointer it follows and how
it was started, which nobody can take from a process that runs.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, PositiveInt

from towpath_gitops.delivery import processes
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import Record
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import POINTER, POINTER_VARIABLE, WORKERS

SERVICE: Final = "service.json"
PID: Final = "service.pid"
LOG: Final = "service.log"
SERVICE_VARIABLE: Final = "TOWPATH_SERVICE"  # what service.json says, in the environment of the process itself

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "TOWPATH_API_KEYS_FILE")
_LOG_LINES = 15


class Service(Record):
    """`service.json`: how the service process was started. Written before it is, so that a crash leaves no stranger."""

    port: PositiveInt
    workers: PositiveInt
    code: str  # hash of the git tree that it runs
    started: AwareDatetime


@dataclass(frozen=True)
class ServiceProcess:
    """The process of the target in `folder`."""

    folder: Path
    bentoml_home: Path

    def pid(self) -> int | None:
        """Return the id of our service process; None when it has ended, whoever uses its number now."""
        pid = self.number()
        ours = pid is not None and processes.has_variable(pid, POINTER_VARIABLE, str(self.folder / POINTER))
        if pid is not None and ours and processes.alive(pid):
            return pid
        return next(filter(processes.leads, self.family()), None)  # the file that held its number may be gone

    def number(self) -> int | None:
        """Return the process id that the service has written down."""
        try:
            return int((self.folder / PID).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def family(self) -> list[int]:
        """Return every process that was started to follow our pointer, whether our files still tell of it or not."""
        return processes.having_variable(POINTER_VARIABLE, str(self.folder / POINTER))

    def started(self) -> Service | None:
        """Return how the process was started: as its file says, or where that is lost, as the process itself does."""
        try:
            return parse_json((self.folder / SERVICE).read_bytes(), Service, source=SERVICE)
        except (FileNotFoundError, InvalidFileError):  # written atomically: a broken one was made by hand
            pid = self.pid()
        said = processes.variable(pid, SERVICE_VARIABLE) if pid else None
        try:
            return parse_json(said, Service, source=SERVICE_VARIABLE) if said else None
        except InvalidFileError:  # an earlier version started it otherwise
            return None

    def spawn(self, service: Service, command: Sequence[str], path: Path) -> None:
        """Start the process; how is written down before, so that a crash leaves no stranger."""
        (self.folder / PID).unlink(missing_ok=True)
        shutil.rmtree(self.folder / WORKERS, ignore_errors=True)  # the states of processes that are gone
        write_atomically(self.folder / SERVICE, service.model_dump_json(indent=2) + "\n")
        numbers = ("--port", str(service.port), "--workers", str(service.workers))
        argv = [*command, "--service", str(path), *numbers]
        processes.start(argv, self._environment(service), self.folder / LOG, self.folder / PID)

    def _environment(self, service: Service) -> dict[str, str]:
        """Return the few variables that the service sees: no secret of ours is among them."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return inherited | {
            POINTER_VARIABLE: str(self.folder / POINTER),
            SERVICE_VARIABLE: service.model_dump_json(),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(self.bentoml_home),
        }

    def is_forgotten(self) -> bool:
        """Return whether the process runs and a file that tells of it is lost."""
        lost = not ((self.folder / SERVICE).exists() and (self.folder / PID).exists())
        return lost and self.pid() is not None

    def remember(self) -> None:
        """Write down again what the process itself tells."""
        pid, service = self.pid(), self.started()
        if pid and service:
            write_atomically(self.folder / PID, f"{pid}\n")
            write_atomically(self.folder / SERVICE, service.model_dump_json(indent=2) + "\n")

    def forget(self) -> None:
        """Remove what tells of a process that has ended."""
        for name in (SERVICE, PID):
            (self.folder / name).unlink(missing_ok=True)

    def log_tail(self) -> str:
        """Return the last lines that the process wrote."""
        text = (self.folder / LOG).read_text(errors="replace") if (self.folder / LOG).exists() else ""
        return "\n".join(text.splitlines()[-_LOG_LINES:])
