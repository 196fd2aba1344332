"""Many rows at once as an Arrow IPC stream: columns go to the model as they lie, and nothing is read row by row.

What is sent must fit the signature as in JSON: the same columns, limits and lists, null or NaN for missing. Importing
this module needs pyarrow, which an image holds only where its owner wants it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, ipc

from towpath_bento.columns import NUMBERS, TEXTS, Blocks, Places
from towpath_bento.envelopes import look
from towpath_bento.limits import MAX_BULK_BYTES, MAX_BULK_MESSAGES, MAX_BULK_ROWS, MAX_TEXT, bounds
from towpath_bento.problems import MAX_ERRORS, FieldError, ProblemError, refusal
from towpath_bento.wire import Codec, Request, decisions
from towpath_gitops.records.signature import Column, Signature

_KINDS: Final = {
    "number": "numbers",
    "integer": "whole numbers",
    "boolean": "booleans",
    "string": "text",
}
RELEASE: Final = b"release"  # in the metadata of an answer's schema
_MOST_SHOWN: Final = 60  # letters of a type's name
_VIEW_BYTES: Final = 16  # of a text that is told by place and length; its first four are the length
_REFUSALS: Final = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)  # all that Arrow raises for bad bytes


def decode(codec: Codec, body: bytes) -> Request:
    """Return the rows in `body`, an Arrow IPC stream, as the codec's signature reads them.

    Raises:
        ProblemError: 400 when it is no such stream, 422 naming a column, and its first row, that does not fit.
    """
    table = read_table(body)
    signature, places = codec.signature, Places(codec.signature)
    if errors := list(islice(_misnamed(table.column_names, places, refuse=codec.unknown == "refuse"), MAX_ERRORS)):
        raise refusal(errors)
    check_types(table, signature)
    table = settle(table, places.of)
    given = {name: place for place, name in enumerate(table.column_names) if name in places.of}
    columns = {column.name: _column(table, given.get(column.name), column) for column in signature.inputs}
    if errors := [cast("FieldError", each) for each in columns.values() if isinstance(each, dict)]:
        raise refusal(errors[:MAX_ERRORS])
    return Request(_blocks(places, table.num_rows, columns), table.num_rows, None)


def encode(signature: Signature, release: str, values: NDArray[Any]) -> bytes:
    """Return the answer for the engine's `values` (rows, k) as an Arrow IPC stream, the release in its metadata."""
    table = pa.table(dict(_answers(signature, values))).replace_schema_metadata({RELEASE: release.encode()})
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _answers(signature: Signature, values: NDArray[Any]) -> Iterator[tuple[str, Any]]:
    if signature.classes is None:
        yield "value", pa.array(values[:, 0])
        return
    yield "label", pa.DictionaryArray.from_arrays(decisions(signature, values).astype(np.int32), signature.classes)
    if signature.task == "binary":
        yield "probability", pa.array(values[:, 0])
    else:
        each = [pa.array(np.ascontiguousarray(values[:, place])) for place in range(values.shape[1])]
        yield "probabilities", pa.StructArray.from_arrays(each, list(signature.classes))


def read_table(body: bytes) -> Any:  # noqa: ANN401 (pyarrow is not typed)
    """Return the rows of an Arrow IPC stream as they were sent: nothing may be read from them before `settle`.

    Raises:
        ProblemError: 400 when it is no such stream, or compressed; 422 when it has no row, or too many of them or of
            batches.
    """
    try:
        looked = look(body, MAX_BULK_MESSAGES)
        if looked.compressed:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "Send the stream's buffers uncompressed.")
        if looked.messages > MAX_BULK_MESSAGES:
            raise _whole(f"must come in fewer than {MAX_BULK_MESSAGES} batches")
        with ipc.open_stream(pa.py_buffer(body)) as reader:
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > MAX_BULK_ROWS:
                    raise _whole(f"must hold 1 to {MAX_BULK_ROWS} rows, not {rows} or more")
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
        table.column_names  # noqa: B018 (raises where one is no UTF-8)
    except _REFUSALS as error:
        raise _no_stream(error) from error
    if not rows:
        raise _whole(f"must hold 1 to {MAX_BULK_ROWS} rows, not 0")
    return table


def check_types(table: Any, signature: Signature) -> None:  # noqa: ANN401 (as above)
    """Look whether columns are of the types that the signature states.

    Raises:
        ProblemError: 422, naming those that are not.
    """
    types = {field.name: field.type for field in table.schema}
    wrong = [each for each in signature.inputs if each.name in types and not _is_of_type(types[each.name], each)]
    if wrong:
        told = [
            _error(None, each.name, f"must hold {_KINDS[each.type]}, not {_shown(types[each.name])}")
            for each in wrong[:MAX_ERRORS]
        ]
        raise refusal(told)


def _shown(kind: Any) -> str:  # noqa: ANN401 (as above)
    try:
        return str(kind)[:_MOST_SHOWN]
    except ValueError:  # a name inside it is no UTF-8
        return "something else"


def settle(table: Any, names: Collection[str]) -> Any:  # noqa: ANN401 (as above)
    """Return the table with the columns called `names` looked through, each in one piece; others hold only nulls.

    Arrow looks through whatever a stream holds, however long that takes, and writes a text that many rows share once
    for each of them. So what nobody reads is not looked at, and texts are added up before.

    Raises:
        ProblemError: 400, a column contradicts itself; 422, the texts are too many.
    """
    nothing = pa.nulls(table.num_rows)
    read = [name in names and is_plain(kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)]
    columns = [column if wanted else nothing for wanted, column in zip(read, table.columns, strict=True)]
    try:
        _check_texts([column for wanted, column in zip(read, columns, strict=True) if wanted])
        return pa.Table.from_arrays(columns, names=table.column_names).combine_chunks()
    except _REFUSALS as error:
        raise _no_stream(error) from error


def is_plain(kind: Any) -> bool:  # noqa: ANN401 (as above)
    """Whether a type is one that a column may have: numbers, booleans, text, or nothing."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    checks = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, _is_text)
    return any(check(value) for check in checks)


def _is_text(kind: Any) -> bool:  # noqa: ANN401 (as above)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _check_texts(columns: Sequence[Any]) -> None:
    """Add up the texts of all rows, and look through each column in a time that fits its size."""
    total_bytes = 0
    for column in columns:
        for chunk in column.chunks:
            chunk.validate()
            total_bytes += _viewed_bytes(chunk)
            _check_total(total_bytes)
            chunk.validate(full=True)
            total_bytes += _repeated_bytes(chunk)
            _check_total(total_bytes)


def _check_total(size_bytes: int) -> None:
    if size_bytes > MAX_BULK_BYTES:
        raise _whole(f"hold more than {MAX_BULK_BYTES // 2**20} MiB of text, each row's counted")


def _viewed_bytes(values: Any) -> int:  # noqa: ANN401 (as above)
    """Return how long all texts are that are told by place and length, of which many may share a place."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary
    if not pa.types.is_string_view(values.type) or not len(values):
        return 0
    lengths = np.frombuffer(values.buffers()[1], np.int32)[:: _VIEW_BYTES // 4][values.offset :][: len(values)]
    there = compute.is_valid(values).to_numpy(zero_copy_only=False)
    return int(lengths[there].clip(0).sum(dtype=np.int64))


def _repeated_bytes(values: Any) -> int:  # noqa: ANN401 (as above)
    """Return how long the texts of a dictionary are when each row has its own."""
    if not pa.types.is_dictionary(values.type) or not _is_text(values.type.value_type):
        return 0
    words = values.dictionary.cast(pa.large_string())
    lengths = compute.fill_null(compute.binary_length(words), 0).to_numpy()
    places = values.indices.drop_null().to_numpy().astype(np.int64)
    return int(np.bincount(places, minlength=len(lengths)) @ lengths) if len(places) else 0


def _no_stream(error: Exception) -> ProblemError:
    why = " ".join(str(error).split())[:200]
    return ProblemError(HTTPStatus.BAD_REQUEST, f"The body is no Arrow IPC stream: {why}")


def _whole(message: str) -> ProblemError:
    return refusal([_error(None, "rows", message)])


def _misnamed(names: Sequence[str], places: Places, *, refuse: bool) -> Iterator[FieldError]:
    """Yield columns that are there twice, and those that the model does not know where these are refused.

    A stream may name a million of them, so each is looked at once.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield _error(None, name, "is there twice")
        elif refuse and name not in places.of:
            yield _error(None, name, "is not a column of this model")
        seen.add(name)


def _blocks(places: Places, rows: int, columns: Mapping[str, Any]) -> Blocks:
    numbers = np.empty((rows, len(places.numbers)), np.float32)
    texts = np.empty((rows, len(places.texts)), object)
    for name, values in columns.items():
        block, place = places.of[name]
        {NUMBERS: numbers, TEXTS: texts}[block][:, place] = values
    return Blocks(places, numbers, texts)


def _column(table: Any, place: int | None, column: Column) -> Any:  # noqa: ANN401 (an array, or what is wrong with it)
    """Return the column at a place as numbers with NaN or texts with "" for missing, or what is wrong with it."""
    if place is None:
        empty = "" if column.type == "string" else np.nan
        return empty if column.nullable else _error(None, column.name, "is missing")
    values = table.column(place).combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # what older releases make of an empty or a single chunk
        values = values.chunk(0)
    return _texts(values, column) if column.type == "string" else _numbers(values, column)


def _is_of_type(kind: Any, column: Column) -> bool:  # noqa: ANN401 (as above)
    types = pa.types
    if types.is_null(kind):
        return True
    if column.type == "string":
        return _is_text(kind.value_type if types.is_dictionary(kind) else kind)
    if column.type == "boolean":
        return bool(types.is_boolean(kind))
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _numbers(values: Any, column: Column) -> Any:  # noqa: ANN401 (as above)
    if pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
        values = values.cast(pa.uint8())
    if values.type in {pa.uint8(), pa.float16()}:  # limits do not fit into halves
        values = values.cast(pa.float32())
    found = np.asarray(values.to_numpy(zero_copy_only=False), None if values.null_count == 0 else np.float64)
    missing = np.isnan(found) if found.dtype.kind == "f" else np.zeros(len(found), bool)
    if not column.nullable and missing.any():
        return _error(int(missing.argmax()), column.name, "must not be null")
    if column.type == "boolean":
        return found
    low, high = bounds(column)
    outside = ~((found >= low) & (found <= high)) & ~missing
    if outside.any():
        row = int(outside.argmax())
        return _error(row, column.name, f"{found[row]:.9g} is outside {low:.9g} to {high:.9g}")
    if column.type == "integer" and found.dtype.kind == "f":
        broken = (found != np.trunc(found)) & ~missing
        if broken.any():
            row = int(broken.argmax())
            return _error(row, column.name, f"must be a whole number, not {found[row]:.9g}")
    return found


def _texts(values: Any, column: Column) -> Any:  # noqa: ANN401 (as above)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    values = values.cast(pa.large_string())
    if values.null_count and not column.nullable:
        return _error(
            int(compute.is_null(values).to_numpy(zero_copy_only=False).argmax()), column.name, "must not be null"
        )
    if column.categories:
        wrong = compute.invert(compute.is_in(values, pa.array(column.categories, pa.large_string()))).to_numpy(
            zero_copy_only=False
        )
        wrong &= ~compute.is_null(values).to_numpy(zero_copy_only=False)
        message = f"holds a value that is none of: {', '.join(column.categories[:10])}"
    else:
        wrong = compute.fill_null(compute.greater(compute.utf8_length(values), MAX_TEXT), fill_value=False).to_numpy(
            zero_copy_only=False
        )
        message = f"is longer than {MAX_TEXT} characters"
    if wrong.any():
        return _error(int(wrong.argmax()), column.name, message)
    return compute.fill_null(values, "").to_numpy(zero_copy_only=False)


def _error(row: int | None, field: str, message: str) -> FieldError:
    return FieldError(row=row, field=field[:60], message=message)
