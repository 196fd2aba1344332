"""Connections that take more of a worker than a request does: a head without an end, or answers that nobody fetches.

uvicorn waits for a head as long as its caller likes and copies what it has of a field with each piece that comes: one
connection can keep a worker busy for ever, and a thousand silent ones use up all that it may open. So a head has a size
and a time, an answer must be fetched at some pace, and more connections than fit are refused with when to come again.
"""

import asyncio
import re
import resource
import time
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http import auto

from towpath_bento import problems
from towpath_bento.limits import FETCH_TIMEOUT_S, FETCHED_BYTES, HEAD_TIMEOUT_S, MAX_HEAD_BYTES
from towpath_bento.problems import ProblemError

LOOK_S: Final = 1.0
_KEPT_FILES: Final = 100  # that a worker opens beside its connections: libraries, models, metrics, the journal
_LEAST: Final = 16  # connections, however few files may be open

_UPGRADE: Final = re.compile(rb"(?i)\nupgrade([ \t]*:)")

_open: set["Connection"] = set()


class Connection(auto.AutoHTTPProtocol):  # type: ignore[valid-type, misc]  # uvicorn chooses it when imported
    """One caller's connection, with limits."""

    _unread_bytes = 0  # since a head, or a piece of a body, was last whole
    _told: Any = None  # the request after which it waits, since `_since_s`
    _since_s: float | None = None
    _left_bytes = 0  # of answers, when they were last fetched fast enough, at `_fetched_s`
    _fetched_s = 0.0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (of asyncio's or uvloop's)
        """Take the caller on, unless there are too many."""
        super().connection_made(transport)
        if len(_open) >= most():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open here.", retry_after="1")
        else:
            _open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the caller."""
        _open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and count what has become neither a head nor a part of a body."""
        before = self.cycle
        if b"pgrade" in data and (before is None or not before.more_body):
            data = _without_upgrade(data)
        super().data_received(data)
        cycle = self.cycle
        if cycle is not before or (cycle is not None and cycle.body):
            self._unread_bytes = 0
            return
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            detail = f"The head of the request is larger than {MAX_HEAD_BYTES // 1024} KiB."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def look(self, now_s: float) -> None:
        """End it where a head, or somebody who fetches an answer, takes too long."""
        left_bytes = self.transport.get_write_buffer_size()
        if not left_bytes or left_bytes <= self._left_bytes - FETCHED_BYTES or not self._left_bytes:
            self._left_bytes, self._fetched_s = left_bytes, now_s
        elif now_s - self._fetched_s > FETCH_TIMEOUT_S:
            self.transport.abort()
        if not self._awaits_head():
            self._since_s = None
        elif self._since_s is None or self._told is not self.cycle:
            self._told, self._since_s = self.cycle, now_s
        elif now_s - self._since_s > HEAD_TIMEOUT_S:
            self.transport.close()

    def _awaits_head(self) -> bool:
        """Whether it is new, or something has come since the last answer; uvicorn itself ends one that is kept idle."""
        return self.cycle is None or (self.cycle.response_complete and self.timeout_keep_alive_task is None)

    def _refuse(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        """Say why where no answer is under way, and end it."""
        if self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body):
            self.transport.write(_answer(ProblemError(status, detail, (), **headers)))
        self.transport.close()


def install() -> None:
    """Let uvicorn use `Connection`, from its next start on: BentoML leaves it the choice of the class."""
    auto.AutoHTTPProtocol = Connection


async def watch() -> None:
    """Look at all connections of this worker, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        now_s = time.monotonic()
        for connection in list(_open):
            connection.look(now_s)


def most() -> int:
    """Return how many connections a worker holds at once: as many as it may open files, but some for itself."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_LEAST, limit - _KEPT_FILES)


def _without_upgrade(data: bytes) -> bytes:
    """Return a head, and what follows, without its wish for another protocol: there is none here.

    Whoever asks for HTTP/2 in this way (Java's client does unless it is told otherwise) is content with HTTP/1.1, but
    the parser passes over the body that follows such a wish.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(rb"\nx-upgrade\1", head) + end + rest


def _answer(problem: ProblemError) -> bytes:
    body = problem.body()
    fields = {"content-type": problems.CONTENT_TYPE, "content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {problem.status:d} {problem.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in (fields | problem.headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
