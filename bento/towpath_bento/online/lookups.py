"""Requests are completed before they are answered: what rows leave out is looked up, and stands in them from then on.

So everything behind (the decoder, the engines, the journal) sees the features that were used, wherever they came from,
and a request that brings all of them, as golden requests do, is answered without the store.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from msgspec.structs import replace

from towpath_bento import metrics
from towpath_bento.limits import MAX_TEXT
from towpath_bento.online.rows import ABSENT, Rows
from towpath_bento.online.store import Found, Key, Store, StoreError
from towpath_bento.predicting import Asked
from towpath_bento.problems import MAX_ERRORS, FieldError, ProblemError, refusal, value_fault
from towpath_gitops.records.online import Online, OnlineKey, OnlineView
from towpath_gitops.records.signature import Signature

_INT64: Final = 2**63
_WORDS: Final = {
    "unknown": "is not known to the online store",
    "stale": "is known to the online store by old values only",
}
Run = Callable[..., Awaitable[Any]]  # as `Admission.answer`: in the event loop where bytes are few, else in a thread


class Rowed(Protocol):
    """A request whose rows can be completed; `Rows` and `Stream` are two."""

    def lacking(self, columns: frozenset[str]) -> Sequence[int]: ...  # noqa: D102 (as in `Rows`, which says it)
    def values(self, name: str, numbers: Sequence[int]) -> list[Any]: ...  # noqa: D102 (as above)
    def put(self, column: str, numbers: Sequence[int], values: Sequence[Any]) -> None: ...  # noqa: D102 (as above)
    def drop(self, names: frozenset[str]) -> None: ...  # noqa: D102 (as above)
    def body(self) -> bytes: ...  # noqa: D102 (as above)


class _Wanted(NamedTuple):
    """Rows that lack something of one view, by their keys; those with a key of null are in none of them."""

    view: OnlineView
    rows: dict[Key, list[int]]
    keyless: list[int]


class _Opened(NamedTuple):
    rowed: Rowed
    wanted: list[_Wanted]


class StoreRefusalError(ProblemError):
    """A request that could be answered if the store did as it should; it counts as the release's own failure."""


class Lookups:
    """Completes requests in one event loop."""

    def __init__(self, run: Run) -> None:
        """Read and write requests by `run`."""
        self._run = run
        self._store = Store()

    async def close(self) -> None:
        """Part from the store."""
        await self._store.close()

    @staticmethod
    def concern(asked: Asked) -> bool:
        """Whether a release that may answer looks anything up."""
        return asked.live.looks_up if asked.release is None else asked.release.looks_up

    async def complete(self, asked: Asked) -> Asked:
        """Return the request with all that its release looks up.

        Raises:
            ProblemError: 422, a row lacks its key, or nothing is known of it and the release refuses that.
            StoreRefusalError: 503, the store does not answer, and the release refuses that; 502, it answers with values
                that the model does not take.
        """
        name, lane = asked.choose()
        body = await self.fill(lane.codec.signature, asked.body, bulk=asked.bulk)
        return replace(asked, body=body, chosen=(name, lane))

    async def fill(self, signature: Signature, body: bytes, *, bulk: bool = False) -> bytes:
        """Return `body` with all that a release of `signature` looks up; see `complete`."""
        online = signature.online
        if online is None:
            return body
        read = _open_stream if bulk else _open_rows
        reading = partial(read, signature, online)
        opened: _Opened | None = await self._run(reading, body, len(body), in_thread=bulk)
        if opened is None:
            return body
        answers = await asyncio.gather(*(self._look_up(online, each) for each in opened.wanted))
        finish = partial(_finish, signature, online, opened)
        done: bytes = await self._run(finish, answers, len(body), in_thread=bulk)
        return done

    async def _look_up(self, online: Online, wanted: _Wanted) -> Mapping[Key, Found]:
        view, keys = wanted.view, list(wanted.rows)
        if not keys:
            return {}
        try:
            return await self._store.ask(view, keys, online.url, online.timeout_s)
        except StoreError as error:
            if online.late == "missing":
                return {key: Found((None,) * len(view.columns)) for key in keys}
            detail = f"The online store could not be asked for {view.view}; try again."
            raise StoreRefusalError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after="1") from error


def _open_rows(signature: Signature, online: Online, body: bytes) -> _Opened | None:
    rows = Rows.open(body)
    return None if rows is None else _Opened(rows, _wanted(signature, online, rows))


def _open_stream(signature: Signature, online: Online, body: bytes) -> _Opened | None:
    from towpath_bento.online.stream import Stream  # noqa: PLC0415 (pyarrow is heavy, and no part of every image)

    stream = Stream(signature, body)
    return _Opened(stream, _wanted(signature, online, stream))


def _wanted(signature: Signature, online: Online, rowed: Rowed) -> list[_Wanted]:
    """Return what must be looked up for which rows, and take out of them the keys that are no inputs.

    Raises:
        ProblemError: 422, rows lack a key, or have one of another type.
    """
    found, errors = [], list[FieldError]()
    for view in online.views:
        numbers = rowed.lacking(frozenset(view.columns))
        columns = [rowed.values(key.name, numbers) for key in view.keys]
        for key, values in zip(view.keys, columns, strict=True):
            errors += islice(_wrong_keys(view, key, numbers, values), MAX_ERRORS)
        found.append(_by_key(view, numbers, columns))
    if errors:
        raise refusal(errors[:MAX_ERRORS])
    rowed.drop(frozenset(online.keys) - {column.name for column in signature.inputs})
    return found


def _wrong_keys(
    view: OnlineView, key: OnlineKey, numbers: Sequence[int], values: Sequence[Any]
) -> Iterator[FieldError]:
    for number, value in zip(numbers, values, strict=True):
        if value is ABSENT:
            message = f"is missing: {', '.join(view.columns)} would be looked up by it"
        elif value is None or _is_key(value, key):
            continue
        else:
            message = "must be a whole number" if key.type == "integer" else f"must be text of up to {MAX_TEXT} letters"
        yield FieldError(row=number, field=key.name, message=message)


def _is_key(value: object, key: OnlineKey) -> bool:
    if key.type == "string":
        return isinstance(value, str) and len(value) <= MAX_TEXT
    if isinstance(value, float):
        return value.is_integer() and abs(value) < _INT64
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _by_key(view: OnlineView, numbers: Sequence[int], columns: Sequence[Sequence[Any]]) -> _Wanted:
    rows: dict[Key, list[int]] = {}
    keyless: list[int] = []
    for number, *values in zip(numbers, *columns, strict=True):
        if None in values:
            keyless.append(number)
        else:
            rows.setdefault(tuple(int(each) if isinstance(each, float) else each for each in values), []).append(number)
    return _Wanted(view, rows, keyless)


def _finish(signature: Signature, online: Online, opened: _Opened, answers: Sequence[Mapping[Key, Found]]) -> bytes:
    """Put what was found into the rows, and return them.

    Raises:
        ProblemError: 422, nothing is known of a row, and the release refuses that.
        StoreRefusalError: 502, what is known is nothing that the model takes.
    """
    errors, faults = list[FieldError](), list[FieldError]()
    for wanted, found in zip(opened.wanted, answers, strict=True):
        _count(wanted.view, found)
        errors += islice(_unknown(wanted, found), MAX_ERRORS) if online.unknown == "refuse" else ()
        faults += islice(_faults(signature, wanted, found), MAX_ERRORS)
        _fill(opened.rowed, wanted, found)
    if errors:
        raise refusal(errors[:MAX_ERRORS])
    if faults:
        told = refusal(faults[:MAX_ERRORS])
        detail = f"The online store holds a value that the model does not take: {told.detail}"
        raise StoreRefusalError(HTTPStatus.BAD_GATEWAY, detail, told.errors)
    return opened.rowed.body()


def _count(view: OnlineView, found: Mapping[Key, Found]) -> None:
    for known, times in Counter(each.lacking or "found" for each in found.values()).items():
        metrics.LOOKUP_KEYS.labels(view.view, known).inc(times)


def _unknown(wanted: _Wanted, found: Mapping[Key, Found]) -> Iterator[FieldError]:
    field = wanted.view.keys[0].name
    for number in wanted.keyless:
        yield FieldError(row=number, field=field, message=f"is null, by which {wanted.view.view} knows nobody")
    for key, numbers in wanted.rows.items():
        lacking = found[key].lacking
        for number in numbers if lacking else ():
            yield FieldError(row=number, field=field, message=f"{_WORDS[str(lacking)]} ({wanted.view.view})")


def _faults(signature: Signature, wanted: _Wanted, found: Mapping[Key, Found]) -> Iterator[FieldError]:
    columns = {column.name: column for column in signature.inputs}
    for key, numbers in wanted.rows.items():
        row = dict(zip(wanted.view.columns, found[key].values, strict=True))
        for name in row:
            if message := value_fault(row, columns[name]):
                yield FieldError(row=numbers[0], field=name, message=message)


def _fill(rowed: Rowed, wanted: _Wanted, found: Mapping[Key, Found]) -> None:
    nothing = Found((None,) * len(wanted.view.columns))
    numbers = [*wanted.keyless, *(number for each in wanted.rows.values() for number in each)]
    answers = [*(nothing for _ in wanted.keyless), *(found[key] for key, each in wanted.rows.items() for _ in each)]
    for place, column in enumerate(wanted.view.columns):
        rowed.put(column, numbers, [answer.values[place] for answer in answers])
