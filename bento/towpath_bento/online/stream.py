"""An Arrow stream that may lack the columns that are looked up. Importing this module needs pyarrow."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc

from towpath_bento import bulk
from towpath_bento.online.rows import ABSENT
from towpath_gitops.records.signature import ColumnType, Signature

_TYPES: Final[dict[ColumnType, Any]] = {
    "number": pa.float64(),
    "integer": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.large_string(),
}


class Stream:
    """The rows of a stream as a table; a column is there for all rows or for none."""

    def __init__(self, signature: Signature, body: bytes) -> None:
        """Read `body`.

        Raises:
            ProblemError: as `bulk.read_table`, `bulk.check_types` and `bulk.settle`.
        """
        self._types = {column.name: _TYPES[column.type] for column in signature.inputs}
        keys = signature.online.keys if signature.online else ()
        table = bulk.read_table(body)
        bulk.check_types(table, signature)
        self._unread = {field.name for field in table.schema if not bulk.is_plain(field.type)}
        self._table = bulk.settle(table, {*self._types, *keys})

    def lacking(self, columns: Collection[str]) -> Sequence[int]:
        """Return the numbers of all rows where the table lacks one of `columns`, of none otherwise."""
        names = set(self._table.column_names)
        return range(self._table.num_rows if any(column not in names for column in columns) else 0)

    def values(self, name: str, numbers: Iterable[int]) -> list[Any]:
        """Return what rows hold under `name`; `ABSENT` where there is no such column, or more than one.

        In the place of what no key can be, such as a list, stands an empty tuple, which is none either.
        """
        if self._table.column_names.count(name) != 1:
            return [ABSENT for _ in numbers]
        if name in self._unread:
            return [() for _ in numbers]
        values = self._table.column(name).to_pylist()
        return [values[number] for number in numbers]

    def put(self, column: str, numbers: Iterable[int], values: Iterable[Any]) -> None:
        """Add a column of `values` for all rows, unless it is there; those not in `numbers` have none."""
        if column in self._table.column_names:
            return
        whole: list[Any] = [None] * self._table.num_rows
        for number, value in zip(numbers, values, strict=True):
            whole[number] = value
        self._table = self._table.append_column(column, pa.array(whole, self._types[column]))

    def drop(self, names: Collection[str]) -> None:
        """Take columns out."""
        self._table = self._table.drop_columns([name for name in names if name in self._table.column_names])

    def body(self) -> bytes:
        """Return the stream as it stands now."""
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, self._table.schema) as writer:
            writer.write_table(self._table)
        return bytes(sink.getvalue())
