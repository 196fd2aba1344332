"""Where each column of a signature stands in the two arrays that a model takes: numbers and texts.

An engine's call costs more for each array that it is given than for each value in it, so all columns of one type go
together: numbers, integers and booleans as float32 (n, k) with NaN for missing, strings as objects (n, m) with "" for
missing, each in the order of the signature. Training exports graphs with these two inputs, and serving fills them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.limits import MAX_BULK_ROWS
from towpath_gitops.records.signature import Signature

NUMBERS: Final = "numbers"  # the names of a graph's two inputs; one without columns is left out
TEXTS: Final = "texts"

Columns = Mapping[str, NDArray[Any]]

_NO_TEXTS: Final = np.empty((MAX_BULK_ROWS, 0), object)  # what rows without texts have of them; it takes no memory


class Places:
    """The columns of a signature by the array that they stand in, each in its order there."""

    def __init__(self, signature: Signature) -> None:
        """Place the inputs of `signature`."""
        self.names = tuple(column.name for column in signature.inputs)
        self.texts = tuple(column.name for column in signature.inputs if column.type == "string")
        self.numbers = tuple(name for name in self.names if name not in self.texts)
        self.of = {name: (block, place) for block in (NUMBERS, TEXTS) for place, name in enumerate(self.columns(block))}
        self._gaps = any(column.nullable for column in signature.inputs if column.type == "string")

    def columns(self, block: str) -> tuple[str, ...]:
        """Return the columns that stand in the array `block`, which is `NUMBERS` or `TEXTS`."""
        return self.texts if block == TEXTS else self.numbers

    def fill(self, rows: Sequence[Sequence[Any]]) -> "Blocks":
        """Return rows of values, each all numbers and then all texts, as arrays; None is missing."""
        count, width = len(rows), len(self.numbers)
        flat = chain.from_iterable(map(itemgetter(slice(width)), rows) if self.texts else rows)
        numbers = np.fromiter(flat, np.float32, count * width).reshape(count, width)  # None becomes NaN
        if not self.texts:
            return Blocks(self, numbers, _NO_TEXTS[:count])
        texts = np.empty((count, len(self.texts)), object)
        said = [row[width:] for row in rows]
        texts[:] = [[value or "" for value in row] for row in said] if self._gaps else said
        return Blocks(self, numbers, texts)

    def join(self, columns: Columns) -> "Blocks":
        """Return columns of shape (n, 1) as arrays."""
        if isinstance(columns, Blocks):
            return columns
        rows = len(columns[self.names[0]])
        joined = {
            block: np.concatenate([columns[name] for name in self.columns(block)], axis=1)
            if self.columns(block)
            else np.empty((rows, 0), kind)
            for block, kind in ((NUMBERS, np.float32), (TEXTS, object))
        }
        return Blocks(self, joined[NUMBERS], joined[TEXTS])


class Blocks(Columns):
    """Rows as two arrays, `numbers` (n, k) and `texts` (n, m); as a mapping, the columns, each a view of (n, 1)."""

    __slots__ = ("_places", "numbers", "texts")

    def __init__(self, places: Places, numbers: NDArray[Any], texts: NDArray[Any]) -> None:
        """Hold arrays that are filled as `places` says."""
        self._places, self.numbers, self.texts = places, numbers, texts

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.numbers)

    def cut(self, start: int, stop: int) -> "Blocks":
        """Return the rows from `start` to before `stop`, as views."""
        return Blocks(self._places, self.numbers[start:stop], self.texts[start:stop])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column."""
        block, place = self._places.of[name]
        return (self.texts if block == TEXTS else self.numbers)[:, place : place + 1]

    def __iter__(self) -> Iterator[str]:
        """Yield the columns' names in the order of the signature."""
        return iter(self._places.names)

    def __len__(self) -> int:
        """Return how many columns there are."""
        return len(self._places.names)
