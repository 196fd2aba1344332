"""A server that runs, and what a load costs it: requests and the processor's time of all its processes."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

import psutil
from serving.model import Made
from serving.peers import SERVERS, Peer

START_S: Final = 120
_LUA: Final = """\
wrk.method = "POST"
wrk.body = io.open("{body}", "rb"):read("*a")
{headers}
done = function(summary, latency, requests)
  io.write(string.format("COUNTED %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), latency.max))
  local errors = summary.errors
  io.write(string.format("ERRORS %d\\n", errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Figures:
    """What one round of one server came to."""

    cpu_ms: float  # processor time of the server's processes for a request
    rate: float  # requests a second
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass
class Running:
    """A server that answers."""

    peer: Peer
    made: Made
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, rows: int) -> bytes:
        """Return the answer to one request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.peer.path}",
            self.peer.request(self.made, rows),
            dict(self.peer.headers),
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 (as above)
            content: bytes = response.read()
        return content

    @property
    def memory_mb(self) -> float:
        """What its processes hold that no other process does."""
        return sum(each.memory_full_info().uss for each in self._processes()) / 1e6

    def round(self, rows: int, connections: int, seconds: float) -> Figures:
        """Load it for so many seconds, rounded up: wrk knows whole ones.

        Raises:
            RuntimeError: a request failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            script, content = Path(folder, "load.lua"), Path(folder, "body")
            content.write_bytes(self.peer.request(self.made, rows))
            headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in self.peer.headers)
            script.write_text(_LUA.format(body=content, headers=headers))
            url = f"http://127.0.0.1:{self.port}{self.peer.path}"
            command = ["wrk", "-t1", f"-c{connections}", f"-d{ceil(seconds)}s", "--timeout", "30s", "-s", script, url]
            before = self._spent_s()
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            spent_s = self._spent_s() - before
        requests, took_us, p50, p99, most = map(int, re.findall(r"COUNTED (.*)", said)[0].split())
        if not re.search(r"ERRORS 0$", said, re.MULTILINE):
            message = f"{self.peer.name} failed under load: {said}"
            raise RuntimeError(message)
        return Figures(1e3 * spent_s / requests, 1e6 * requests / took_us, p50 / 1e3, p99 / 1e3, most / 1e3)

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _spent_s(self) -> float:
        times = [each.cpu_times() for each in self._processes()]
        return sum(each.user + each.system for each in times)


@contextmanager
def serving(peer: Peer, made: Made) -> Iterator[Running]:
    """Start a server, wait until it answers the first row, and end it afterwards.

    Raises:
        RuntimeError: it does not; with what it said.
    """
    port, python = _free_port(), str(peer.python())
    filled = {"port": str(port), "folder": str(made.folder)}
    environment = os.environ | {"BENCH_MODEL": str(made.folder), "PYTHONPATH": str(SERVERS)}
    environment["PATH"] = f"{Path(python).parent}:{environment['PATH']}"
    environment |= {name: value.format(**filled) for name, value in peer.variables.items()}
    if peer.prepare:
        subprocess.run([python, SERVERS / peer.prepare], env=environment, check=True, capture_output=True)
    log = made.folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            shlex.split(peer.command.format(**filled)),
            env=environment,
            cwd=made.folder,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        running = Running(peer, made, port, process)
        _wait(running, log)
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(running: Running, log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            running.ask(1)
        except (OSError, urllib.error.HTTPError) as error:
            if running.process.poll() is not None or time.monotonic() > end:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else str(error)
                message = f"{running.peer.name} does not answer: {said}\n{log.read_text()[-2000:]}"
                raise RuntimeError(message) from error
            time.sleep(0.3)
        else:
            return


def needs_wrk() -> None:
    """End with a clear message where there is nothing to make the load with."""
    if shutil.which("wrk") is None:
        raise SystemExit("The load comes from wrk, which is not installed: apt install wrk, or brew install wrk.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
