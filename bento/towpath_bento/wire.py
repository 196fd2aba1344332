"""Bytes to columns and back, by a model's signature.

Decoding is one pass of msgspec over types that are made from the signature: limits, ranges and closed lists are part of
the types, so that a valid request costs microseconds. An invalid one is explained by `explaining`.
"""

from functools import cache
from http import HTTPStatus
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from towpath_bento.columns import Blocks, Places
from towpath_bento.deciding import DEFAULT_THRESHOLD, decide, rule_of
from towpath_bento.explaining import explain
from towpath_bento.limits import MAX_ROWS, MAX_TEXT, bounds
from towpath_bento.problems import ProblemError
from towpath_bento.settings import UnknownColumns
from towpath_gitops.records.signature import Column, Signature

CONTENT_TYPE: Final = "application/json"
_JSON: Final = CONTENT_TYPE.encode()
ARROW: Final = "application/vnd.apache.arrow.stream"
# All that msgspec raises for bytes it cannot take; its ValidationError is one of the first.
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A valid request: its columns as engines take them, and the key it is routed by."""

    columns: Blocks
    rows: int
    entity: str | None


class _Envelope(msgspec.Struct):
    entity: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def entity_of(body: bytes) -> str | None:
    """Return the entity key in a request, None where there is none or the body is no request at all.

    Routing needs it before it is known which release, and so which signature, will read the rows.
    """
    try:
        return _ENVELOPE.decode(body).entity
    except _REFUSALS:
        return None


class Codec:
    """Requests and answers of one signature."""

    def __init__(self, signature: Signature, unknown: UnknownColumns = "refuse") -> None:
        """Make the types that requests are decoded into; `unknown` says what becomes of other columns."""
        self.signature = signature
        self.unknown = unknown
        self._places = Places(signature)
        inputs = {column.name: column for column in signature.inputs}
        fields = [(f"f{i}", inputs[name]) for i, name in enumerate((*self._places.numbers, *self._places.texts))]
        row = msgspec.defstruct(
            "Row",
            [_field(name, column) for name, column in fields],
            rename={name: column.name for name, column in fields},
            forbid_unknown_fields=unknown == "refuse",
            kw_only=True,
            gc=False,
        )
        body = msgspec.defstruct(
            "Body",
            [
                ("rows", Annotated[list[row], Meta(min_length=1, max_length=MAX_ROWS)]),  # type: ignore[valid-type]  # made just above
                ("entity", Annotated[str, Meta(max_length=MAX_TEXT)] | None, None),
            ],
            forbid_unknown_fields=True,
        )
        self._decoder = msgspec.json.Decoder(body)
        self._encoder = msgspec.json.Encoder()

    def reads_as(self, other: "Codec") -> bool:
        """Whether both make the same of every request."""
        mine, theirs = (self.signature.inputs, self.unknown), (other.signature.inputs, other.unknown)
        return mine == theirs

    def decode(self, body: bytes) -> Request:
        """Return the request in `body`.

        Raises:
            ProblemError: 400 when it is not JSON, 422 naming rows and fields when it does not fit the signature.
        """
        try:
            decoded: Any = self._decoder.decode(body)
        except _REFUSALS as error:
            raise explain(body, self.signature, error, self.unknown) from error
        rows = [msgspec.structs.astuple(row) for row in decoded.rows]
        return Request(self._places.fill(rows), len(rows), decoded.entity)

    def encode(self, release: str, values: NDArray[Any]) -> bytes:
        """Return the answer for the engine's `values` of shape (rows, k); equal values always have equal bytes."""
        return self._encoder.encode({"release": release, "predictions": predictions(self.signature, values)})


def predictions(signature: Signature, values: NDArray[Any]) -> list[dict[str, Any]]:
    """Return what callers are told for the engine's `values` of shape (rows, k); NaN becomes null in JSON."""
    if signature.task == "regression" or signature.classes is None:
        return [{"value": value} for value in values[:, 0].tolist()]
    classes = signature.classes
    if signature.task == "binary":
        threshold = DEFAULT_THRESHOLD if signature.threshold is None else signature.threshold
        return [{"label": classes[value >= threshold], "probability": value} for value in values[:, 0].tolist()]
    best = decide(signature.task, values, rule_of(signature)).tolist()
    return [
        {"label": classes[index], "probabilities": dict(zip(classes, row, strict=True))}
        for index, row in zip(best, values.tolist(), strict=True)
    ]


def decisions(signature: Signature, values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of the class that each row's `values` (n, k) decide for: (n,); always 0 for regression."""
    return decide(signature.task, values, rule_of(signature))


def is_bulk(content_type: bytes) -> bool:
    """Return whether a body is said to be an Arrow IPC stream rather than JSON in UTF-8; nothing said counts as JSON.

    Raises:
        ProblemError: 415, it is something else, or Arrow cannot be read here.
    """
    if content_type == _JSON:
        return False
    kind, _, parameters = content_type.decode("latin-1").partition(";")
    charset = parameters.partition("charset=")[2].strip(' "').lower()
    kind = kind.strip().lower()
    if kind in {"", CONTENT_TYPE} and charset in {"", "utf-8", "utf8"}:
        return False
    if kind == ARROW and _has_arrow():
        return True
    raise ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Send application/json in UTF-8, with the header content-type: application/json.",
        accept=", ".join([CONTENT_TYPE, ARROW][: 1 + _has_arrow()]),
    )


@cache
def _has_arrow() -> bool:
    return find_spec("pyarrow") is not None


def _field(name: str, column: Column) -> tuple[str, Any] | tuple[str, Any, None]:
    kind = _type(column)
    return (name, kind | None, None) if column.nullable else (name, kind)


def _type(column: Column) -> Any:  # noqa: ANN401 (a type made at run time)
    if column.type == "boolean":
        return bool
    if column.type == "string":
        if column.categories:
            return Literal[column.categories]
        return Annotated[str, Meta(max_length=MAX_TEXT)]
    low, high = bounds(column)
    # Integers are read as floats, so that 3.0, which many writers make of 3, is one too.
    return Annotated[float, Meta(ge=low, le=high, multiple_of=1 if column.type == "integer" else None)]
