"""A request in JSON whose rows may lack what is looked up.

What rows hold stays as it was sent, except for the keys: built as objects, a few megabytes could become hundreds, and
keep every other caller waiting.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from towpath_bento.limits import MAX_ROWS

ABSENT: Any = msgspec.UNSET  # a key that a row has not, unlike one that is null
_DOCUMENT: Final = msgspec.json.Decoder(dict[str, Raw])
_ROWS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_VALUE: Final = msgspec.json.Decoder(str | int | float | bool | None)
_REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Rows:
    """The rows of a request as objects. What is wrong with them otherwise is for the codec to say."""

    def __init__(self, document: dict[str, Raw], rows: list[dict[str, Raw]]) -> None:
        """Hold a document, and its `rows`."""
        self._document, self._rows = document, rows

    @classmethod
    def open(cls, body: bytes) -> "Rows | None":
        """Return the rows in `body`; None where it is no request for predictions, and the codec will refuse it."""
        try:
            document = _DOCUMENT.decode(body)
            rows = _ROWS.decode(document["rows"])
        except (KeyError, *_REFUSALS):
            return None
        return cls(document, rows) if len(rows) <= MAX_ROWS else None

    def lacking(self, columns: Collection[str]) -> Sequence[int]:
        """Return the numbers of the rows that lack one of `columns`; null is there."""
        return [number for number, row in enumerate(self._rows) if any(column not in row for column in columns)]

    def values(self, name: str, numbers: Iterable[int]) -> list[Any]:
        """Return what rows hold under `name`; `ABSENT` for those without it, an empty tuple for what no key can be."""
        return [_plain(self._rows[number].get(name)) for number in numbers]

    def put(self, column: str, numbers: Iterable[int], values: Iterable[Any]) -> None:
        """Give rows a value in `column`; those that have one keep it."""
        for number, value in zip(numbers, values, strict=True):
            self._rows[number].setdefault(column, Raw(msgspec.json.encode(value)))

    def drop(self, names: Collection[str]) -> None:
        """Take fields out of all rows."""
        for row in self._rows:
            for name in names:
                row.pop(name, None)

    def body(self) -> bytes:
        """Return the request as it stands now."""
        return msgspec.json.encode(self._document | {"rows": self._rows})


def _plain(raw: Raw | None) -> Any:  # noqa: ANN401 (as JSON has it)
    if raw is None:
        return ABSENT
    try:
        return _VALUE.decode(raw)
    except _REFUSALS:
        return ()
