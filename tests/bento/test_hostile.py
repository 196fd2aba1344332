# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""Callers who mean harm, or cannot do better: a real service, spoken to byte by byte."""

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def unharmed(service: Any, row: dict[str, Any]) -> Iterator[None]:
    """Whatever is done to it, the service answers the next caller, had no fault of its own, and lost no worker."""
    before = service.client.get("/version").json()["workers"]
    yield
    assert service.predict(row).status_code == 200
    assert service.client.get("/version").json()["workers"] == before
    assert 'status="500"' not in service.client.get("/metrics").text
    assert "Traceback" not in service.log


def say(service: Any, *parts: bytes) -> bytes:
    """Send what is given piece by piece, close that direction, and return all that is answered."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        with contextlib.suppress(OSError):  # it may be cut off at any piece
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answer += part
        return bytes(answer)


def test_one_byte_at_a_time(service: Any, row: dict[str, Any]) -> None:
    """A caller with the slowest of lines is answered like any other."""
    content = json.dumps({"rows": [row]}).encode()
    request = HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            connection.sendall(request[place : place + 1])
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("length", [10, 1000, 20_000, 8 * 2**20])
def test_half_a_body(service: Any, length: int) -> None:
    """Whoever hangs up in the middle, of a small request or of the largest, leaves nothing behind."""
    for sent in (b"", b"{", b'{"rows": [{' + b" " * (length // 2)):
        say(service, HEAD + b"content-length: %d\r\n\r\n" % length, sent[: length // 2])


def test_many_who_wait_keep_nobody_waiting(service: Any, row: dict[str, Any]) -> None:
    """A hundred callers who stop in the middle of their request hinder no other."""
    with ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
            connection.sendall(HEAD + b"content-length: 5000\r\n\r\n{")
        assert [service.predict(row).status_code for _ in range(20)] == [200] * 20


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n{}",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        HEAD + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        HEAD + b"content-type\xff: \xff\r\n\r\n",
        HEAD + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/predict%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_hardly_http(service: Any, sent: bytes) -> None:
    """Other protocols, impossible lengths and broken headers end a connection at most."""
    answer = say(service, sent)
    assert b" 500 " not in answer.split(b"\r\n", 1)[0]


@pytest.mark.parametrize("start", [HEAD + b"x: ", HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nx: ", b"GET /"])
def test_a_head_without_an_end(service: Any, start: bytes) -> None:
    """Sixty-four megabytes of one field are cut off long before they are all there."""
    begun_s = time.monotonic()
    answer = say(service, start, *[b"y" * 2**20] * 64)
    assert answer[9:12] in {b"431", b""}
    assert time.monotonic() - begun_s < 2


@pytest.mark.parametrize(
    "content",
    [
        b'{"rows":[{"distance km":1,"distance km":2,"note":"x"}]}',
        b'{"rows":[],"rows":[{"distance km":1,"note":"x"}]}',
        b'{"rows":[{"distance km":1,"note":"x"}],"rows":7}',
        b'{"rows":[{"distance km":"x","distance km":1,"note":"x"}]}',
        b'{"rows":[{"distance km":1,"note":"x"}],"entity":"a","entity":null}',
    ],
)
def test_a_key_that_is_there_twice(service: Any, content: bytes) -> None:
    """The answer is a prediction or a problem, and the same each time."""
    answers = {service.client.post("/v1/predict", content=content).content for _ in range(2)}
    assert len(answers) == 1
    assert service.client.post("/v1/predict", content=content).status_code in {200, 400, 422}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7", "cp037"])
def test_text_in_another_encoding(service: Any, row: dict[str, Any], encoding: str) -> None:
    """It is refused, unless it has the same bytes in UTF-8."""
    content = json.dumps({"rows": [row | {"note": "Łódź" if encoding.startswith("utf") else "Kölń"[:2]}]})
    sent = json.dumps(json.loads(content), ensure_ascii=False).encode(encoding)
    answer = service.client.post("/v1/predict", content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in ({200, 422} if encoding == "utf-7" else {400})


def test_damaged_requests(service: Any, row: dict[str, Any]) -> None:
    """Bytes changed, doubled, lost and mixed up: each is answered 200, or 4xx with a problem document."""
    chance = random.Random(7)  # noqa: S311 (nothing is to be kept secret)
    content = json.dumps({"rows": [row, row], "entity": "e"}).encode()
    for _ in range(500):
        made = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            start, end = sorted(chance.choices(range(len(made) + 1), k=2))
            made[start:end] = chance.choice([b"", made[start:end] * 2, chance.randbytes(3), b"NaN", b"1e999", b"[["])
        answer = service.client.post("/v1/predict", content=bytes(made))
        assert answer.status_code in {200, 400, 422}, bytes(made)
        if answer.status_code != 200:
            assert answer.json()["status"] == answer.status_code
