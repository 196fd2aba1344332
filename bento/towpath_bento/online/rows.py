"""A request in JSON whose rows may lack what is looked up."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from towpath_bento.limits import MAX_ROWS

ABSENT: Any = msgspec.UNSET  # a key that a row has not, unlike one that is null


class Rows:
    """The rows of a request as objects. What is wrong with them otherwise is for the codec to say."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Hold a document whose `rows` are a list of objects."""
        self._document = document
        self._rows: list[dict[str, Any]] = document["rows"]

    @classmethod
    def open(cls, body: bytes) -> "Rows | None":
        """Return the rows in `body`; None where it is no request for predictions, and the codec will refuse it."""
        try:
            document = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        rows = document.get("rows") if isinstance(document, dict) else None
        if not isinstance(rows, list) or len(rows) > MAX_ROWS or not all(isinstance(row, dict) for row in rows):
            return None
        return cls(document)

    def lacking(self, columns: Collection[str]) -> Sequence[int]:
        """Return the numbers of the rows that lack one of `columns`; null is there."""
        return [number for number, row in enumerate(self._rows) if any(column not in row for column in columns)]

    def values(self, name: str, numbers: Iterable[int]) -> list[Any]:
        """Return what rows hold under `name`; `ABSENT` for those without it."""
        return [self._rows[number].get(name, ABSENT) for number in numbers]

    def put(self, column: str, numbers: Iterable[int], values: Iterable[Any]) -> None:
        """Give rows a value in `column`; those that have one keep it."""
        for number, value in zip(numbers, values, strict=True):
            self._rows[number].setdefault(column, value)

    def drop(self, names: Collection[str]) -> None:
        """Take fields out of all rows."""
        for row in self._rows:
            for name in names:
                row.pop(name, None)

    def body(self) -> bytes:
        """Return the request as it stands now."""
        return msgspec.json.encode(self._document)
