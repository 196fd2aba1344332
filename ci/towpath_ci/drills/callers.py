"""Callers of a service while something happens to it: a process of their own, so many requests a second.

The process reads one request body from its first line of input, asks until its input ends, and prints a JSON list of
what became of each request. A late answer does not delay the next request.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from towpath_gitops.delivery.loopback import ask
from towpath_gitops.errors import DeliveryError, TowpathError

RATE: Final = 50.0  # requests per second
_CALLERS: Final = 16


@dataclass(frozen=True)
class Call:
    """What became of one request: when it was answered (monotonic seconds), how, and by which release."""

    answered_s: float
    status: int  # 0: not answered at all
    release: str | None


@dataclass
class Calls:
    """All requests of a time; complete when that is over."""

    made: list[Call] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return sum(call.status != 200 for call in self.made)  # noqa: PLR2004 (HTTP's own number)

    def back_after_s(self, since_s: float, release: str) -> float:
        """Return the seconds from `since_s` until the first answer of a release.

        Raises:
            DeliveryError: it never answered, or requests failed.
        """
        if self.failed:
            raise DeliveryError(f"{self.failed} of {len(self.made)} requests failed")
        moments = [call.answered_s for call in self.made if call.release == release and call.answered_s >= since_s]
        if not moments:
            raise DeliveryError(f"None of {len(self.made)} requests was answered by {release[7:19]}")
        return min(moments) - since_s


@contextmanager
def calling(port: int, body: bytes, rate: float = RATE) -> Iterator[Calls]:
    """Let callers ask the service on `port` for the time of the block; what is yielded is complete after it."""
    command = [sys.executable, "-c", f"from {__name__} import main; main()", str(port), str(rate)]
    calls = Calls()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdin and process.stdout:
                process.stdin.write(body + b"\n")
                process.stdin.flush()
                process.stdout.readline()  # the first request is answered
            yield calls
        finally:
            output, _ = process.communicate()
        calls.made += [Call(*row) for row in json.loads(output)]


def _ask(port: int, body: bytes) -> Call:
    try:
        answer = ask(port, "/v1/predict", body)
    except TowpathError:
        return Call(time.monotonic(), 0, None)
    return Call(time.monotonic(), answer.status, answer.headers.get("x-towpath-release"))


def _until_the_end(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()


def main() -> None:
    """Ask until the input ends; see the module's docstring."""
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    body = sys.stdin.buffer.readline().rstrip(b"\n")
    ended = threading.Event()
    threading.Thread(target=_until_the_end, args=(ended,), daemon=True).start()
    with ThreadPoolExecutor(_CALLERS) as pool:
        asked = [pool.submit(_ask, port, body)]
        asked[0].result()
        sys.stdout.write("asking\n")
        sys.stdout.flush()
        due_s = time.monotonic()
        while not ended.wait(max(0.0, due_s - time.monotonic())):
            asked.append(pool.submit(_ask, port, body))
            due_s += 1.0 / rate
    found = [each.result() for each in asked]
    sys.stdout.write(json.dumps([[call.answered_s, call.status, call.release] for call in found]))
