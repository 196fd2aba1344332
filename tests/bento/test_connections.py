"""Connections are bounded in time, in size and in number: uvicorn itself, with the class that services give it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from towpath_bento import connections
from towpath_bento.asgi import Message, Receive, Scope, Send
from towpath_bento.connections import Connection

LARGE = b"y" * 2**22
ASK = b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opened = Callable[[], Awaitable[Streams]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body, or with much."""
    size, message = 0, dict[str, Any](more_body=True)
    while message.get("more_body"):
        message = dict(await receive())
        size += len(message.get("body", b""))
    answer = LARGE if scope["path"] == "/large" else b"%d" % size
    start: Message = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a fraction of the seconds."""
    for name, value in (("HEAD_TIMEOUT_S", 0.4), ("FETCH_TIMEOUT_S", 0.4), ("LOOK_S", 0.05)):
        monkeypatch.setattr(connections, name, value)


@asynccontextmanager
async def serving() -> AsyncIterator[Opened]:
    """Run uvicorn, and open connections to it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, http=Connection, lifespan="off", log_config=None))
    running = asyncio.create_task(server.serve([listening]))
    watching = asyncio.create_task(connections.watch())
    port = listening.getsockname()[1]
    with ExitStack() as stack:

        async def opened() -> Streams:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
            stack.callback(writer.close)
            return reader, writer

        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        yield opened
    watching.cancel()
    server.should_exit = True
    await running


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the connection ends."""
    with suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


async def answered(opened: Opened, path: bytes = b"/") -> bytes:
    """Ask over a connection of its own, and return the answer."""
    reader, writer = await opened()
    writer.write(ASK % path)
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


@pytest.mark.parametrize(
    ("asks", "sent"), [(0, b""), (0, b"\r\n"), (0, b"GET / HTTP/1.1\r\nx-"), (1, b"\r\n"), (1, b"GET / HT")]
)
def test_a_head_that_does_not_come_is_not_waited_for(asks: int, sent: bytes) -> None:
    """Nothing at all, half a head, or half of the next one: the connection ends, and not before its time."""

    async def scenario() -> None:
        async with serving() as opened:
            reader, writer = await opened()
            for _ in range(asks):
                writer.write(ASK % b"/")
                await reader.readuntil(b"\r\n\r\n0")
            writer.write(sent)
            begun_s = time.monotonic()
            await ended(reader)
            assert 0.3 < time.monotonic() - begun_s < 2
            assert (await answered(opened)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("head", "piece", "status"),
    [
        (b"GET / HTTP/1.1\r\nx: ", b"y" * 10_000, b"431"),
        (b"GET /", b"y" * 10_000, b"431"),
        (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 2_000, b"431"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y" * 10_000, b""),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;", b"y" * 10_000, b""),
    ],
)
def test_a_head_without_an_end_is_refused(head: bytes, piece: bytes, status: bytes) -> None:
    """However it grows; what follows a body counts as well."""

    async def scenario() -> None:
        async with serving() as opened:
            reader, writer = await opened()
            writer.write(head)
            with suppress(ConnectionError):
                for _ in range(60):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            assert (await ended(reader))[9:12] in {status, b""}
            assert not connections._open
            assert (await answered(opened)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


@pytest.mark.parametrize("wish", [b"h2c", b"websocket", b"h2c, websocket"])
def test_a_wish_for_another_protocol_costs_no_body(wish: bytes) -> None:
    """A client that would rather speak HTTP/2, such as Java's, is answered in HTTP/1.1; bodies stay as they are."""
    body = b"\r\n\r\n\nupgrade: no\r\n"

    async def scenario() -> None:
        async with serving() as opened:
            reader, writer = await opened()
            wished = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAEAAEAA\r\n" % wish
            for _ in range(2):
                writer.write(
                    b"POST / HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n%s" % (wished, len(body), body)
                )
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n%d" % len(body)), 5)
                assert answer.startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


def test_a_long_body_in_small_pieces_is_no_head() -> None:
    """Whatever it weighs; and many requests at once are as many heads."""

    async def scenario() -> None:
        async with serving() as opened:
            reader, writer = await opened()
            writer.write(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\ny\r\n" * 40_000)
            await writer.drain()
            writer.write(b"0\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"40000"), 5)).startswith(b"HTTP/1.1 200 ")
            writer.write(ASK % b"/" * 4_000)
            for _ in range(4_000):
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), 5)

    asyncio.run(scenario())


def test_an_answer_that_nobody_fetches_is_thrown_away() -> None:
    """One who fetches slowly gets all of it."""

    async def scenario() -> None:
        async with serving() as opened:
            _, never = await opened()
            reader, slowly = await opened()
            never.write(ASK % b"/large")
            slowly.write(ASK % b"/large")
            await reader.readuntil(b"\r\n\r\n")
            fetched = 0
            while fetched < len(LARGE):
                part = await reader.read(2**17)
                assert part
                fetched += len(part)
                await asyncio.sleep(0.05)
            assert len(connections._open) == 1

    asyncio.run(scenario())


def test_connections_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told when to come again, and taken as soon as another has gone."""
    monkeypatch.setattr(connections, "most", lambda: 3)

    async def scenario() -> None:
        async with serving() as opened:
            held = [await opened() for _ in range(3)]
            await asyncio.sleep(0.05)
            refused = await answered(opened)
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in refused
            held[0][1].close()
            await asyncio.sleep(0.05)
            assert (await answered(opened)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


def test_a_worker_keeps_files_for_itself() -> None:
    """However few it may open, some callers are let in."""
    assert connections.most() >= 16
