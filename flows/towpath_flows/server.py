"""One Prefect server (and, for looking, one MLflow page) per repository, shared by every process that needs it.

Starting a Prefect server takes ten to twenty seconds, so it is started once, detached, and found again by later
processes. A server holds a lock on a file for as long as it lives (the kernel releases it however it dies), so that
nobody mistakes a stale state file or a recycled process id for a running server. A second lock lets one process start
it while others wait. Both servers listen on 127.0.0.1 only.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from towpath_gitops import layout
from towpath_gitops.errors import UnavailableError
from towpath_gitops.files import write_atomically

HOST: Final = "127.0.0.1"
API_URL: Final = "PREFECT_API_URL"
START_TIMEOUT_S: Final = 240.0
STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1
_TRIES: Final = 3
_LOG_TAIL: Final = 15  # lines of a dead server's log that an error shows

# Quiet, private, patient: for the server and for every flow that talks to it.
_SETTINGS: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(int(START_TIMEOUT_S)),
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what the server answers while its database is away
}


@dataclass(frozen=True)
class Program:
    """A server program: the folder of its state, how it is called, and the path that answers when it is up."""

    name: str
    folder: str
    health: str
    command: Callable[[Path, int], list[str]]  # root, port → arguments after the interpreter
    environment: Callable[[Path], Mapping[str, str]]


def _prefect_command(_: Path, port: int) -> list[str]:
    """Call what `prefect server start` calls in the end, without its own seconds of start-up."""
    return ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", HOST, "--port", str(port)]


def _prefect_environment(root: Path) -> dict[str, str]:
    return {
        **_SETTINGS,
        "PREFECT_HOME": str(layout.state(root, "prefect").resolve()),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT__SERVER_FINAL": "1",
    }


def _mlflow_command(root: Path, port: int) -> list[str]:
    options = ["--default-artifact-root", layout.artifact_root(root), "--workers", "1"]
    return ["mlflow", "server", "--host", HOST, "--port", str(port), *options]


def _mlflow_environment(root: Path) -> dict[str, str]:
    """Tell where the store is by a variable: its address may hold a password, and everyone can read arguments."""
    return {
        "MLFLOW_BACKEND_STORE_URI": layout.tracking_uri(root),
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


PREFECT: Final = Program("Prefect", "prefect", "/api/health", _prefect_command, _prefect_environment)
MLFLOW: Final = Program("MLflow", "mlflow", "/health", _mlflow_command, _mlflow_environment)
PROGRAMS: Final = (PREFECT, MLFLOW)


def ensure_api(root: Path) -> str:
    """Return the address of the Prefect API that flows of this repository use, with its server running.

    That is `PREFECT_API_URL` where the user has set it (their own server, or Prefect Cloud), else this repository's
    server, started when none runs (about 15 s the first time).

    Raises:
        UnavailableError: the server does not start; its last words are shown.
    """
    return os.environ.get(API_URL) or f"{ensure(root, PREFECT)}/api"


def ensure_mlflow(root: Path) -> str:
    """Return the address of a page that shows this repository's MLflow runs.

    Raises:
        UnavailableError: the server does not start.
    """
    own = os.environ.get("MLFLOW_TRACKING_URI", "")
    return own if own.startswith("http") else ensure(root, MLFLOW)


def api_environment(root: Path) -> dict[str, str]:
    """Return the variables under which a process talks to this repository's API, with its server running.

    Raises:
        UnavailableError: the server does not start.
    """
    own = API_URL in os.environ
    home = {} if own else {"PREFECT_HOME": str(layout.state(root, "prefect").resolve())}
    return {**_SETTINGS, **home, API_URL: ensure_api(root)}


@contextmanager
def local_api(root: Path | None = None) -> Iterator[str]:
    """Let flows called inside talk to the API of the repository at `root`; the server lives on afterwards.

    Without `root`, the nearest folder upwards from here that has a model.yaml.

    Raises:
        UnavailableError: the server does not start.
    """
    root, own = root or find_root(Path.cwd()), bool(os.environ.get(API_URL))
    variables = api_environment(root)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    with ExitStack() as stack:
        if not own or "prefect" in sys.modules:  # which has read its settings already
            stack.enter_context(_settings(root, variables[API_URL], watched=own))
        try:
            yield variables[API_URL]
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _settings(root: Path, url: str, *, watched: bool) -> AbstractContextManager[Any]:
    """Return Prefect's settings for flows of this process.

    Where nobody watches for heartbeats, as on a repository's own server, there are none: Prefect ends a flow's only at
    their next full second, so that each flow would wait for half a second on average.
    """
    with chdir(root):  # whose prefect.toml counts
        from prefect import settings  # noqa: PLC0415 (takes seconds)

        quiet = {} if watched else {settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        return settings.temporary_settings({settings.PREFECT_API_URL: url, **quiet})


def find_root(start: Path) -> Path:
    """Return the repository's root: `TOWPATH_ROOT`, or the nearest folder upwards from `start` with a model.yaml.

    Where there is none it is `start`; whoever opens model.yaml there says that it is missing.
    """
    if named := os.environ.get("TOWPATH_ROOT"):
        return Path(named).resolve()
    folders = (start.resolve(), *start.resolve().parents)
    return next((folder for folder in folders if (folder / layout.MODEL).is_file()), start.resolve())


def ensure(root: Path, program: Program) -> str:
    """Return `http://127.0.0.1:<port>` of this repository's server, started when none runs.

    Raises:
        UnavailableError: it does not start, or another process has been starting it for too long.
    """
    folder = layout.state(root, program.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _starting(folder, program):
        if _alive(folder):
            state = _read_state(folder)
            if state and _answers(state["url"] + program.health, time.monotonic() + START_TIMEOUT_S, folder):
                return str(state["url"])
            _kill(folder)
        for port in _ports(folder):
            if url := _start(root, folder, program, port):
                return url
    raise UnavailableError(
        f"The {program.name} server does not start", why=_tail(folder), hint=f"Its whole log is {folder / 'server.log'}"
    )


def running(root: Path, program: Program) -> str | None:
    """Return the address of this repository's server if one runs."""
    folder = layout.state(root, program.folder)
    state = _read_state(folder) if _alive(folder) else None
    return str(state["url"]) if state else None


def stop(root: Path, programs: Sequence[Program] = PROGRAMS) -> list[str]:
    """Stop this repository's servers; return the names of those that ran."""
    stopped = []
    for program in programs:
        folder = layout.state(root, program.folder)
        if _alive(folder):
            _kill(folder)
            stopped.append(program.name)
    return stopped


def _ports(folder: Path) -> Iterator[int]:
    """Yield the port used last, so that pages stay where they were, and then free ones."""
    last = (_read_state(folder) or {}).get("port")
    for wanted in ([last] if last else []) + [0] * (_TRIES - 1):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, wanted))
            yield probe.getsockname()[1]


def _start(root: Path, folder: Path, program: Program, port: int) -> str | None:
    url = f"http://{HOST}:{port}"
    with (folder / "alive.lock").open("a") as alive, (folder / "server.log").open("wb") as log:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(
            [sys.executable, "-m", *program.command(root, port)],
            env={name: value for name, value in os.environ.items() if name != API_URL}
            | dict(program.environment(root)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[alive.fileno()],
        )
        _write_state(folder, {"pid": process.pid, "port": port, "url": url})
    _forget(process)
    return url if _answers(url + program.health, time.monotonic() + START_TIMEOUT_S, folder, process) else None


def _forget(process: "subprocess.Popen[bytes]") -> None:
    """Keep Python from warning at exit that the child still runs: it is meant to outlive this process."""
    process._child_created = False  # type: ignore[attr-defined]  # noqa: SLF001 (there is no public way)


def _answers(url: str, deadline: float, folder: Path, process: "subprocess.Popen[bytes] | None" = None) -> bool:
    """Wait until the server answers; False when it dies or the deadline (monotonic seconds) passes."""
    while time.monotonic() < deadline:
        with suppress(URLError, OSError, TimeoutError), urlopen(url, timeout=5) as answer:  # noqa: S310 (loopback)
            return bool(answer.status == 200)  # noqa: PLR2004 (HTTP's OK)
        if process.poll() is not None if process else not _alive(folder):
            return False
        time.sleep(_POLL_S)
    return False


def _alive(folder: Path) -> bool:
    """Say whether a server holds the lock that it inherited."""
    with suppress(FileNotFoundError), (folder / "alive.lock").open("r+") as file:
        return not _locked(file)
    return False


@contextmanager
def _starting(folder: Path, program: Program) -> Iterator[None]:
    deadline = time.monotonic() + 2 * START_TIMEOUT_S
    with (folder / "start.lock").open("a") as file:
        while not _locked(file):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Another process has been starting the {program.name} server for minutes",
                    hint=f"End it, or remove {folder / 'start.lock'}, and try again.",
                )
            time.sleep(_POLL_S)
        yield


def _locked(file: Any) -> bool:  # noqa: ANN401 (any open file)
    """Try to take the lock on an open file; it is released when the file closes."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill(folder: Path) -> None:
    """End the server that holds the lock: politely, then not."""
    state = _read_state(folder)
    if state is None:
        raise UnavailableError(
            f"A server of {folder} runs that nobody wrote down", hint="End it by hand (see `fuser alive.lock` there)."
        )
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(state["pid"], number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _alive(folder) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if not _alive(folder):
            return


def _state_file(folder: Path) -> Path:
    return folder / "server.json"


def _write_state(folder: Path, state: Mapping[str, Any]) -> None:
    write_atomically(_state_file(folder), json.dumps(state, indent=2) + "\n")


def _read_state(folder: Path) -> dict[str, Any] | None:
    """Return the state that was written last; None when there is none or it is damaged."""
    try:
        state = json.loads(_state_file(folder).read_text())
    except (OSError, ValueError):
        return None
    complete = isinstance(state, dict) and isinstance(state.get("pid"), int) and isinstance(state.get("port"), int)
    return state if complete and isinstance(state.get("url"), str) else None


def _tail(folder: Path) -> str:
    with suppress(OSError):
        return "\n".join((folder / "server.log").read_text(errors="replace").splitlines()[-_LOG_TAIL:])
    return ""
