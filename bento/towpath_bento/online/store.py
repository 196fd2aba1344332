"""An online store of features as Feast's feature server shows it: `POST /get-online-features`, many keys in one call.

Feast itself cannot be installed beside the service, so it is asked over HTTP. Its server (0.67) does not look at a
view's ttl: it tells when each value became known, and what is too old is left out here.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from towpath_bento import metrics
from towpath_gitops.records.online import OnlineView

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = logging.getLogger("towpath.bento")

URL_VARIABLE: Final = "TOWPATH_FEAST_URL"  # where an environment's feature server is, whatever model.yaml says
DEFAULT_URL: Final = "http://127.0.0.1:6566"  # where `feast serve` listens
_ROUTE: Final = "/get-online-features"
_UNKNOWN: Final = "NOT_FOUND"
_OK: Final = 200
_SHOWN: Final = 200  # bytes of what a store says to a question that it refuses
_TELL_S: Final = 10.0  # between two lines about a store that fails

Key = tuple[str | int, ...]


class StoreError(Exception):
    """The store did not answer in time, or not as it should."""


class Found(NamedTuple):
    """What is known of one key: a value for each column of the view, None for missing, and why all are missing."""

    values: tuple[Any, ...]
    lacking: str | None = None  # "unknown" or "stale" where nothing of the view is known


class _Result(msgspec.Struct):
    values: list[Any]
    statuses: list[str]
    event_timestamps: list[datetime]


class _Names(msgspec.Struct):
    feature_names: list[str]


class _Reply(msgspec.Struct):
    results: list[_Result]
    metadata: _Names


_DECODER: Final = msgspec.json.Decoder(_Reply)


class Store:
    """Asks a feature server from one event loop, over connections that stay open."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._session: ClientSession | None = None
        self._told_s = -_TELL_S

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, view: OnlineView, keys: Sequence[Key], url: str | None, timeout_s: float) -> dict[Key, Found]:
        """Return what is known now of each key; keys must differ.

        Raises:
            StoreError: there is no answer within `timeout_s` seconds, or it is none to this question.
        """
        import aiohttp  # noqa: PLC0415 (heavy; only releases that look something up need it)

        started_s = time.perf_counter()
        place = (os.environ.get(URL_VARIABLE) or url or DEFAULT_URL).rstrip("/") + _ROUTE
        try:
            async with asyncio.timeout(timeout_s):
                found = _read(await self._post(place, _question(view, keys)), view, keys)
        except TimeoutError:
            self._fail(place, late := f"it did not answer within {timeout_s * 1000:g} ms")
            raise StoreError(late) from None
        except (aiohttp.ClientError, msgspec.MsgspecError, OSError, ValueError, StoreError) as error:
            self._fail(place, f"{type(error).__name__}: {error}")
            raise StoreError(str(error)) from error
        metrics.LOOKUPS.labels("answered").inc()
        metrics.LOOKUP_SECONDS.observe(time.perf_counter() - started_s)
        return found

    async def _post(self, place: str, question: bytes) -> bytes:
        """Return the answer; asked once more where a connection was closed as it lay idle, for asking changes nothing.

        Raises:
            StoreError: it is no answer.
        """
        import aiohttp  # noqa: PLC0415 (as above)

        if self._session is None:
            headers = {"content-type": "application/json"}
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=headers)
        try:
            return await _exchange(self._session, place, question)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            return await _exchange(self._session, place, question)

    def _fail(self, place: str, why: str) -> None:
        metrics.LOOKUPS.labels("failed").inc()
        if time.monotonic() - self._told_s >= _TELL_S:
            self._told_s = time.monotonic()
            log.warning("the online store at %s fails: %s", place, why)


async def _exchange(session: "ClientSession", place: str, question: bytes) -> bytes:
    async with session.post(place, data=question, allow_redirects=False) as answer:
        body = await answer.read()
    if answer.status != _OK:
        raise StoreError(f"it answers {answer.status}: {body[:_SHOWN].decode(errors='replace')}")
    return body


def _question(view: OnlineView, keys: Sequence[Key]) -> bytes:
    entities = {key.name: [each[place] for each in keys] for place, key in enumerate(view.keys)}
    return msgspec.json.encode({"features": [f"{view.view}:{name}" for name in view.columns], "entities": entities})


def _read(reply: bytes, view: OnlineView, keys: Sequence[Key]) -> dict[Key, Found]:
    decoded = _DECODER.decode(reply)
    results = dict(zip(decoded.metadata.feature_names, decoded.results, strict=True))
    columns = [results.get(name) for name in view.columns]
    if any(column is None or len(column.values) != len(keys) for column in columns):
        raise StoreError(f"its answer lacks features of {view.view}, or keys")
    oldest = None if view.ttl_s is None else datetime.fromtimestamp(time.time() - view.ttl_s, UTC)
    cells = [_cells(column, oldest) for column in columns if column is not None]
    return {key: _found(row) for key, row in zip(keys, zip(*cells, strict=True), strict=True)}


def _cells(column: _Result, oldest: datetime | None) -> list[tuple[Any, str | None]]:
    """Return for each key the value, and why there is none where nothing was known, or only long ago."""
    cells: list[tuple[Any, str | None]] = []
    for value, status, since in zip(column.values, column.statuses, column.event_timestamps, strict=True):
        if status == _UNKNOWN:
            cells.append((None, "unknown"))
        elif oldest is not None and since < oldest:
            cells.append((None, "stale"))
        else:
            cells.append((value, None))
    return cells


def _found(row: Sequence[tuple[Any, str | None]]) -> Found:
    reasons = [reason for _, reason in row]
    lacking = None if None in reasons else ("stale" if "stale" in reasons else "unknown")
    return Found(tuple(value for value, _ in row), lacking)
