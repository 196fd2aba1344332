"""What a source is, and what reading one gives."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from towpath_flows.spec import FileSource


@dataclass(frozen=True)
class Part:
    """Rows that lie together: one file, one page of a query. `name` is what error messages call it."""

    name: str
    frame: pd.DataFrame


class Source(Protocol):
    """What a module of this folder offers: one way to read tables."""

    def read(self, spec: FileSource, root: Path, strings: frozenset[str]) -> Iterator[Part]:
        """Yield the parts of the table in a fixed order; the columns `strings` keep their text as it stands.

        Raises:
            NotFoundError: there is nothing at that place.
            DataContractError: what is there cannot be read as a table.
        """
        ...


@dataclass(frozen=True)
class Table:
    """Rows as they were read.

    `digest` is over the content that was read (column names, types and values of the rows within `window`, in
    order), not over the files: the same rows have the same digest after the file has grown or was packed anew.
    """

    frame: pd.DataFrame
    digest: str
    source: str
    window: tuple[datetime | None, datetime | None]


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
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None).dt.as_unit("ns")
        return (b"moment", moments.to_numpy().astype("<i8").tobytes())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        values = column.to_numpy()
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
        return (values.dtype.str.encode(), values.astype(values.dtype.newbyteorder("<")).tobytes())
    texts = column.astype(object).where(column.notna(), None).tolist()
    return (b"text", json.dumps(texts, default=str).encode())
