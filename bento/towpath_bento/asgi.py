"""The few lines of HTTP that a mounted ASGI application needs: read a body within limits, send an answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from towpath_bento import problems, wire
from towpath_bento.bodies import Body
from towpath_bento.deadlines import Deadlines
from towpath_bento.identity import REQUEST_HEADER
from towpath_bento.limits import BODY_TIMEOUT_S
from towpath_bento.problems import ProblemError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST: Final = REQUEST_HEADER.encode()
_DRAIN_S: Final = 1.0


class ClientGoneError(Exception):
    """The caller hung up before its request was complete."""


class Answer(NamedTuple):
    """An HTTP answer."""

    body: bytes
    content_type: str = wire.CONTENT_TYPE
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    unread: bool = False  # whether the request's body has not been read


def problem_answer(problem: ProblemError) -> Answer:
    """Return a problem as an answer."""
    headers = tuple((name.encode(), value.encode()) for name, value in problem.headers.items())
    return Answer(problem.body(), problems.CONTENT_TYPE, int(problem.status), headers, problem.unread)


async def read_body(declared_bytes: int, receive: Receive, deadlines: Deadlines, held: Body, most_bytes: int) -> bytes:
    """Return the whole body of a request, of at most `most_bytes`, counted as `held` while it arrives.

    Its headers say that it has `declared_bytes`, or 0 where they do not say.

    Raises:
        ProblemError: 413 as soon as it is known to be too large; 503 when the bodies of all requests are together; 408
            when it does not arrive in `BODY_TIMEOUT_S`.
        ClientGoneError: the caller hung up.
    """
    if declared_bytes > most_bytes:
        raise _too_large(most_bytes)
    try:
        return await deadlines.wait(_whole(receive, held, most_bytes), BODY_TIMEOUT_S)
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_TIMEOUT_S:g} s."
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, detail, connection="close") from None


async def _whole(receive: Receive, held: Body, most_bytes: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        chunk, more = _chunk(await receive())
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(most_bytes)
        held.grow(size)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def reply(send: Send, answer: Answer, request: str | None = None, *, more: bool = False) -> None:
    """Send an answer, with the id of its request where it has one; with `more`, leave it open although all is sent."""
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    if request is not None:
        headers.append((_REQUEST, request.encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": more})


async def reply_early(receive: Receive, send: Send, answer: Answer, request: str | None = None) -> None:
    """Send an answer to a request whose body has not been read.

    What is still coming is thrown away for a second: a connection that is closed with unread bytes is reset, and its
    caller would see a broken pipe in place of the answer.
    """
    await reply(send, answer, request, more=True)
    with contextlib.suppress(TimeoutError, ClientGoneError, asyncio.CancelledError):  # the last: the service ends
        async with asyncio.timeout(_DRAIN_S):
            more = True
            while more:
                _, more = _chunk(await receive())
    await send({"type": "http.response.body", "body": b""})


def require_method(scope: Scope, *allowed: str) -> None:
    """Refuse a request by another method.

    Raises:
        ProblemError: 405, naming those that are allowed.
    """
    if scope["method"] not in allowed:
        listed = ", ".join(allowed)
        raise ProblemError(HTTPStatus.METHOD_NOT_ALLOWED, f"Use {listed}.", allow=listed)


def _chunk(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), message.get("more_body", False)


def _too_large(most_bytes: int) -> ProblemError:
    detail = f"The body is larger than {most_bytes // 2**20} MiB. Send fewer rows."
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, connection="close")
