# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""The memory that all large requests take together."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_bento.bodies import UNCOUNTED_BYTES, Bodies
from towpath_bento.limits import MAX_BODY_BYTES
from towpath_bento.problems import ProblemError
from towpath_bento.settings import Limits
from towpath_gitops.errors import InvalidFileError

MIB = 2**20
CALLERS, SENT_BYTES = 40, 7 * MIB
HELD_BYTES = 2 * MAX_BODY_BYTES
SLACK_BYTES = 120 * MIB  # what a worker takes for other things; the callers send 280 MiB


def test_what_has_arrived_counts_until_it_is_let_go() -> None:
    """One body too many is refused with when to come again, and what it had counts no longer."""
    bodies = Bodies(100_000)
    with bodies.hold() as first:
        first.grow(50_000)
        first.grow(60_000)
        with bodies.hold() as second:
            second.grow(30_000)
            with pytest.raises(ProblemError) as refused:
                second.grow(50_000)
        assert (int(refused.value.status), refused.value.headers) == (503, {"retry-after": "1"})
        assert bodies.held_bytes == 60_000
        with bodies.hold() as third:
            third.grow(40_000)
    assert bodies.held_bytes == 0


def test_small_requests_are_never_refused() -> None:
    """Whatever large ones hold, there is room for one that is answered at once."""
    bodies = Bodies(50_000)
    with bodies.hold() as large, bodies.hold() as small:
        large.grow(50_000)
        small.grow(UNCOUNTED_BYTES)
        assert bodies.held_bytes == 50_000


def test_a_bound_below_one_request_is_refused() -> None:
    """A service that could not take what its contract promises does not start."""
    with pytest.raises(InvalidFileError, match="body_bytes"):
        Limits(body_bytes=MAX_BODY_BYTES - 1)


def begin(service: Any, number: int) -> socket.socket:
    """Send most of a large body, with its length said in advance or in chunks, and stop there."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=60)
    said, whole = (b"content-length: %d", b"%s") if number % 2 else (b"transfer-encoding: chunked", b"%x\r\n%s\r\n")
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    sent = b'{"rows": [' + b" " * (SENT_BYTES - 10)
    with contextlib.suppress(OSError):  # it is cut off when the service has heard enough
        connection.sendall(head + (said % MAX_BODY_BYTES if number % 2 else said) + b"\r\n\r\n")
        connection.sendall(whole % sent if number % 2 else whole % (len(sent), sent))
    return connection


def answered(connections: list[socket.socket], at_least: int) -> list[bytes]:
    """Return the beginnings of what is answered, as soon as that many are."""
    end, waiting, answers = time.monotonic() + 60, list(connections), []
    while len(answers) < at_least:
        assert time.monotonic() < end, answers
        for each in select.select(waiting, [], [], 1)[0]:
            waiting.remove(each)
            with contextlib.suppress(ConnectionResetError):
                answers.append(each.recv(4096))
    return answers


def most_bytes(pid: int) -> int:
    """Return the most memory that a process ever had."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_many_slow_large_requests_do_not_fill_the_memory(
    launch: Callable[..., Any], tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Those beyond the bound are told when to come again, small ones are answered, and then all is as before."""
    service = launch(settings=f"limits=Limits(body_bytes={HELD_BYTES})", champion=tiny())
    (pid,) = map(int, service.client.get("/version").json()["workers"])
    large = json.dumps({"rows": [row] * 5_000}).encode()
    assert service.client.post("/v1/predict", content=large).status_code == 200
    before = most_bytes(pid)
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(lambda number: begin(service, number), range(CALLERS)))
        for each in connections:
            stack.callback(each.close)
        assert service.predict(row).status_code == 200
        answers = answered(connections, CALLERS - HELD_BYTES // SENT_BYTES)
        refused = [each for each in answers if each.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in each]
        assert len(refused) > CALLERS // 2
        assert all(each[9:12] in {b"503", b"408"} for each in answers)
    assert most_bytes(pid) - before < HELD_BYTES + SLACK_BYTES
    assert again(lambda: service.client.post("/v1/predict", content=large)).status_code == 200
    assert "Traceback" not in service.log


def again(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until the answer is no 503: a service notices within moments that callers have hung up."""
    end = time.monotonic() + 20
    while (answer := ask()).status_code == 503 and time.monotonic() < end:
        time.sleep(0.1)
    return answer
