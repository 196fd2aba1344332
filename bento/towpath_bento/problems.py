"""Problem documents (RFC 9457): every refusal says what is wrong, in which row and which field."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypedDict

from towpath_bento.limits import MAX_ROWS, MAX_TEXT, bounds
from towpath_bento.settings import UnknownColumns
from towpath_gitops.records.signature import Column, Signature

CONTENT_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = (
    100  # a document names no more: whoever sends ten thousand bad rows has one mistake, not ten thousand
)
_SHOWN: Final = 60  # characters of a caller's own text that are repeated back

_KINDS: Final = {
    "number": "a number or null",
    "integer": "a whole number or null",
    "boolean": "true, false or null",
    "string": "a string or null",
}


class FieldError(TypedDict):
    """One thing that is wrong with a request; `row` counts from 0 and is null for the request as a whole."""

    row: int | None
    field: str | None
    message: str


class ProblemError(Exception):
    """A request that is refused, as an HTTP status and a problem document."""

    def __init__(self, status: HTTPStatus, detail: str, errors: Sequence[FieldError] = (), **headers: str) -> None:
        """Refuse with `status`, say why in `detail`, and name the fields; `headers` with underscores for hyphens."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.unread = False  # whether the request's body has been left unread
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """Return the problem document; the same problem always has the same bytes."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        # ASCII only: a caller's half surrogate pair, repeated back, has no UTF-8 form.
        return json.dumps(document).encode()


def refusal(errors: Sequence[FieldError]) -> ProblemError:
    """Return the problem of a request with these faults; its detail tells the first."""
    first = errors[0]
    place = (f"row {first['row']}" if first["row"] is not None else None, first["field"])
    told = ": ".join(filter(None, (", ".join(filter(None, place)), first["message"])))
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, told, errors)


def faults(document: object, signature: Signature, unknown: UnknownColumns = "refuse") -> Iterator[FieldError]:
    """Yield everything in a parsed request that `signature` does not allow; nothing when it is valid."""
    if not isinstance(document, Mapping):
        yield _whole(None, 'send an object: {"rows": [{…}]}')
        return
    for name in document.keys() - {"rows", "entity"}:
        yield _whole(shown(name), unknown_name(name, ["rows", "entity"]))
    entity = document.get("entity")
    if entity is not None and not isinstance(entity, str):
        yield _whole("entity", f"must be a string or null, not {_quoted(entity)}")
    elif entity is not None and len(entity) > MAX_TEXT:
        yield _whole("entity", f"is longer than {MAX_TEXT} characters")
    rows = document.get("rows")
    if not isinstance(rows, list):
        yield _whole("rows", "is missing" if rows is None else "must be a list of objects")
    elif not 1 <= len(rows) <= MAX_ROWS:
        yield _whole("rows", f"must hold 1 to {MAX_ROWS} rows, not {len(rows)}")
    else:
        for number, row in enumerate(rows):
            yield from row_faults(number, row, signature, unknown)


def row_faults(number: int, row: object, signature: Signature, unknown: UnknownColumns) -> Iterator[FieldError]:
    """Yield everything in the row of this number that `signature` does not allow."""
    if not isinstance(row, Mapping):
        yield FieldError(row=number, field=None, message=f"must be an object, not {_quoted(row)}")
        return
    known = [column.name for column in signature.inputs]
    for name in row if unknown == "refuse" else ():
        if name not in known:
            yield FieldError(row=number, field=shown(name), message=unknown_name(name, known))
    for column in signature.inputs:
        message = value_fault(row, column)
        if message:
            yield FieldError(row=number, field=column.name, message=message)


def value_fault(row: Mapping[str, object], column: Column) -> str | None:
    """Return what is wrong with a row's value in `column`; None when it is allowed."""
    value = row.get(column.name)
    if value is None:
        if column.nullable:
            return None
        return "must not be null" if column.name in row else "is missing"
    if not _is_of_type(value, column):
        kind = _KINDS[column.type] if column.nullable else _KINDS[column.type].removesuffix(" or null")
        return f"must be {kind.replace(', false', ' or false') if not column.nullable else kind}, not {_quoted(value)}"
    if isinstance(value, str):
        return _text_fault(value, column)
    return None if isinstance(value, bool) else _number_fault(value, column)  # type: ignore[arg-type]  # a number, by its type check


def _is_of_type(value: object, column: Column) -> bool:
    if column.type == "string":
        return isinstance(value, str)
    if column.type == "boolean":
        return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text_fault(value: str, column: Column) -> str | None:
    if column.categories and value not in column.categories:
        near = difflib.get_close_matches(value[:MAX_TEXT], column.categories, n=1)
        listed = ", ".join(column.categories[:10]) + (", …" if len(column.categories) > 10 else "")  # noqa: PLR2004 (a line's worth)
        return f"{shown(value)} is none of: {listed}" + (f"; did you mean “{near[0]}”?" if near else "")
    if not column.categories and len(value) > MAX_TEXT:
        return f"is longer than {MAX_TEXT} characters"
    return None


def _number_fault(value: float, column: Column) -> str | None:
    low, high = bounds(column)
    if not low <= value <= high:
        return f"{shown(value)} is outside {low:.9g} to {high:.9g}"
    if column.type == "integer" and value != int(value):
        return f"must be a whole number, not {shown(value)}"
    return None


def refuse_constant(name: str) -> None:
    """Refuse NaN and its kin, which Python's reader would take.

    Raises:
        ValueError: always.
    """
    message = f"{name} is no JSON value; send null for missing"
    raise ValueError(message)


def unknown_name(name: str, known: Sequence[str]) -> str:
    """Return what is said of a name that is none of `known`."""
    near = difflib.get_close_matches(name[:MAX_TEXT], known, n=1)
    return "is not a column of this model" + (f"; did you mean “{near[0]}”?" if near else "")


def _quoted(value: object) -> str:
    """Show a value whose type is wrong: that "3" is text must be seen."""
    return f'"{shown(value)}"' if isinstance(value, str) else shown(value)


def shown(value: object) -> str:
    """Return a caller's own value as far as it is repeated back."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a huge number"
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:  # writing needs a deeper stack than reading did
        return "something nested too deep"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _whole(field: str | None, message: str) -> FieldError:
    return FieldError(row=None, field=field, message=message)
