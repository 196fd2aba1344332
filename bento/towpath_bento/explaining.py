"""Why the typed decoder refused a request, in its caller's terms.

A small request is read again as a whole. A large one is not: a few megabytes of JSON can become hundreds as objects,
whose making and going keeps every other caller waiting for seconds. msgspec passes over what it need not keep, so of
such a request single rows are read again, and of these only the small ones.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from towpath_bento.limits import MAX_ROWS
from towpath_bento.problems import (
    MAX_ERRORS,
    FieldError,
    ProblemError,
    faults,
    refusal,
    refuse_constant,
    row_faults,
    shown,
    unknown_name,
)
from towpath_bento.settings import UnknownColumns
from towpath_gitops.records.signature import Signature

_WHOLE_BYTES: Final = 65_536  # of a body, or of a row, that is read again at once
# How msgspec says where a document does not fit, and that a name is none of the known ones or lacks.
_PLACE: Final = re.compile(r"(.*?)(?: - at `\$(?:\.rows\[(\d+)\])?(?:\.(.*))?`)?", re.DOTALL)
_NAMED: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)


class _Skipped(msgspec.Struct, gc=False):
    """An object of which nothing is kept."""


class _Counted(msgspec.Struct):
    rows: list[_Skipped]


class _Taken(msgspec.Struct):
    rows: list[msgspec.Raw]


_PASS: Final = msgspec.json.Decoder(msgspec.Raw)  # passes over a whole document
_COUNT: Final = msgspec.json.Decoder(_Counted)
_TAKE: Final = msgspec.json.Decoder(_Taken)


class _Told(NamedTuple):
    """The one fault at which msgspec stopped."""

    row: int | None
    field: str | None
    message: str

    def error(self) -> FieldError:
        return FieldError(row=self.row, field=self.field, message=self.message)


def explain(body: bytes, signature: Signature, reason: Exception, unknown: UnknownColumns = "refuse") -> ProblemError:
    """Return the problem that `body`, which the typed decoder refused for `reason`, has with `signature`.

    The decoder stops at the first fault and thinks in types. This is the slow path, walked for bad requests only: every
    fault is collected, up to `MAX_ERRORS`; of a large row only the first.
    """
    if len(body) > _WHOLE_BYTES:
        return _explain_piecemeal(body, signature, reason, unknown)
    try:
        document = json.loads(body.decode(), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        return _malformed(error or "nested too deep")
    errors = list(islice(faults(document, signature, unknown), MAX_ERRORS))
    return refusal(errors) if errors else _malformed(reason)


def _explain_piecemeal(body: bytes, signature: Signature, reason: Exception, unknown: UnknownColumns) -> ProblemError:
    try:
        _PASS.decode(body)
        count = len(_COUNT.decode(body).rows)
    except msgspec.ValidationError as error:
        return refusal([_told(error, signature).error()])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _malformed(error)
    if not 1 <= count <= MAX_ROWS:
        message = f"must hold 1 to {MAX_ROWS} rows, not {count}"
        return refusal([FieldError(row=None, field="rows", message=message)])
    if not isinstance(reason, msgspec.ValidationError):
        return _malformed(reason)
    first = _told(reason, signature)
    errors = list(islice(_piecemeal_faults(body, signature, first, unknown), MAX_ERRORS))
    return refusal(errors or [first.error()])


def _malformed(why: object) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, f"The body is not valid JSON: {why}")


def _piecemeal_faults(body: bytes, signature: Signature, first: _Told, unknown: UnknownColumns) -> Iterator[FieldError]:
    """Yield the faults of all rows from the one on at which the decoder stopped; those before have none."""
    if first.row is None:
        yield first.error()
    for number, raw in enumerate(_TAKE.decode(body).rows):
        if number < (first.row or 0):
            continue
        if memoryview(raw).nbytes <= _WHOLE_BYTES:
            yield from _row_faults(number, bytes(raw), signature, unknown)
        elif number == first.row:
            yield first.error()


def _row_faults(number: int, raw: bytes, signature: Signature, unknown: UnknownColumns) -> Iterator[FieldError]:
    try:
        row = json.loads(raw, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        yield FieldError(row=number, field=None, message=f"cannot be read: {error}")
    else:
        yield from row_faults(number, row, signature, unknown)


def _told(error: Exception, signature: Signature) -> _Told:
    """Return what msgspec says in the words of a problem document."""
    place = _PLACE.fullmatch(str(error))
    words, row, field = place.groups() if place else (str(error), None, None)
    named = _NAMED.fullmatch(words)
    if named:
        known = ["rows", "entity"] if row is None else [column.name for column in signature.inputs]
        field, words = named[2], "is missing" if named[1].startswith("missing") else unknown_name(named[2], known)
    return _Told(None if row is None else int(row), None if field is None else shown(field), shown(words))
