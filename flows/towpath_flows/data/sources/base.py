"""What a source is, and what reading one gives."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from towpath_gitops.errors import MissingDependencyError

BATCH_ROWS: Final = 100_000  # rows that are in memory before the window is applied to them
_BATCH_CELLS: Final = 10_000_000  # of wide tables fewer rows


@dataclass(frozen=True)
class Request:
    """What is wanted of a source. It may give more rows and columns than that; it must not give fewer."""

    root: Path
    columns: tuple[str, ...] | None  # None for all
    strings: frozenset[str]  # columns that keep their text as it stands
    time: str | None
    since: datetime | None
    until: datetime | None
    memory_bytes: int

    def chosen(self, available: Iterable[str]) -> list[str]:
        """Return the columns to read of those that there are, in the source's order."""
        return [name for name in available if self.columns is None or name in self.columns]


@dataclass(frozen=True)
class Input:
    """One thing that was read, whole: a file, an object, a query. `digest` is over its bytes."""

    uri: str
    digest: str
    size_bytes: int | None = None


@dataclass(frozen=True)
class Part:
    """Rows that lie together: a piece of a file, a page of a query. `name` is what error messages call it.

    `available` names all columns that are there, also those that were not asked for.
    """

    name: str
    frame: pd.DataFrame
    available: tuple[str, ...] = ()


class Source(Protocol):
    """What a module of this folder offers: one way to read tables."""

    def read(self, spec: Any, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:  # noqa: ANN401 (each module has a spec of its own)
        """Yield the parts of the table in a fixed order, and `note` each input that was read.

        Raises:
            NotFoundError: there is nothing at that place.
            DataContractError: what is there cannot be read as a table.
            UnavailableError: it does not answer.
            MissingDependencyError: the library that reads it is not installed.
        """
        ...

    def describe(self, spec: Any) -> str:  # noqa: ANN401 (as above)
        """Return what people call the source, without any secret."""
        ...


@dataclass(frozen=True)
class Table:
    """Rows as they were read.

    `digest` is over the content that was read (column names, types and values of the rows within `window`, in
    order), not over the files: the same rows have the same digest after the file has grown or was packed anew. What
    the files were, `inputs` tells. `available` names the columns of the source, `memory_bytes` is what the rows take.
    """

    frame: pd.DataFrame
    digest: str
    source: str
    window: tuple[datetime | None, datetime | None]
    inputs: tuple[Input, ...] = ()
    available: tuple[str, ...] = ()
    memory_bytes: int = field(default=0, compare=False)


def missing(library: str, extra: str, error: ImportError) -> MissingDependencyError:
    """Return the error that names what to install."""
    return MissingDependencyError(f"{library} is not installed", why=str(error), hint=f"pip install 'towpath[{extra}]'")


def batch_rows(columns: int) -> int:
    """Return how many rows of a table of so many columns to hold at once."""
    return max(1, min(BATCH_ROWS, _BATCH_CELLS // max(1, columns)))


def at_utc(moment: datetime | None, *, like: object) -> datetime | None:
    """Return a moment as a database holds moments that look `like` this value: naive ones are in UTC."""
    if moment is None or getattr(like, "tzinfo", None) is not None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def digest_frame(frame: pd.DataFrame) -> str:
    """Return `sha256:` and the hash over names, types and values of a table's columns, in order.

    Numbers and moments count by their bytes (little endian; every missing number alike), all else by its JSON.
    """
    total = hashlib.sha256(f"{len(frame)}".encode())
    for name in frame.columns:
        total.update(json.dumps(str(name)).encode())
        for chunk in _content(frame[name]):
            total.update(chunk)
    return "sha256:" + total.hexdigest()


def _content(column: "pd.Series[object]") -> Iterable[bytes]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None)
        try:
            return (b"moment", moments.dt.as_unit("ns").to_numpy().astype("<i8").tobytes())
        except pd.errors.OutOfBoundsDatetime:  # nanoseconds in 64 bits reach from 1678 to 2262; 9999-12-31 is common
            return (b"moment in us", moments.dt.as_unit("us").to_numpy().astype("<i8").tobytes())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        values = column.to_numpy()
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
        return (values.dtype.str.encode(), values.astype(values.dtype.newbyteorder("<")).tobytes())
    texts = column.astype(object).where(column.notna(), None).tolist()
    return (b"text", json.dumps(texts, default=str).encode())
