"""Sources: where rows come from. One module each, one row in the table below."""

import os
import sys
from collections.abc import Hashable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_flows.data.coercion import kind_of, replaced
from towpath_flows.data.sources import duckdb, feast, files, s3, sql
from towpath_flows.data.sources.base import Input, Part, Request, Source, Table, digest_frame
from towpath_flows.data_spec import Data, FileSource, Window
from towpath_flows.project import Project
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import DataContractError, InvalidFileError

__all__ = ["SOURCES", "Input", "Source", "Table", "digest_frame", "exact_window", "load", "read_whole"]

# The key under `data.train` in model.yaml → the module that reads it.
SOURCES: Final[dict[str, Source]] = {"file": files, "s3": s3, "sql": sql, "duckdb": duckdb, "feast": feast}


def load(project: Project, *, since: datetime | None = None, until: datetime | None = None) -> Table:
    """Read the rows with `since` ≤ time < `until`; what is None comes from `data.window` in model.yaml.

    Of a table that the schema does not want whole, only its columns are read. Rows come in batches, and those outside
    the window are let go at once; the others may take `data.memory`. The time column becomes UTC; moments without a
    time zone are taken as UTC. Without a time column every row is read.

    Raises:
        NotFoundError: there is no file, object, database or block.
        DataContractError: a file is empty or unreadable, its time column is missing, a moment in it does not parse
            (row and value are named), no row lies in the window, or the rows take too much memory.
        InvalidFileError: a window was asked for and model.yaml names no time column, or it ends before it begins.
        UnavailableError: the source does not answer.
    """
    spec = project.spec
    window = _window(project, since, until)
    kind = kind_of_source(spec.data)
    request = _request(project, window)
    source = SOURCES[kind].describe(spec.data.train)
    inputs: list[Input] = []
    available = dict[str, None]()

    def within() -> Iterator[pd.DataFrame]:
        for part in _timed(SOURCES[kind].read(spec.data.train, request, inputs.append), project):
            available.update(dict.fromkeys(part.available))
            yield _within(part.frame, spec.time, window)

    whole = _joined(list(_bounded(within(), request.memory_bytes, source)))
    _let_go()
    if whole.empty:
        raise _nothing(project, kind, request, source)
    size = int(whole.memory_usage(deep=True).sum())
    return Table(whole, digest_frame(whole), source, window.bounds, tuple(inputs), tuple(available), size)


def read_whole(file: Path, text: TextSpec) -> pd.DataFrame:
    """Return every row and column of a file that no model.yaml names yet; `text` is how it is written.

    Raises:
        NotFoundError: there is no such file.
        DataContractError: it cannot be read as a table.
    """
    everything = Request(file.parent, None, frozenset(), None, None, None, sys.maxsize)
    parts = files.read(FileSource(file=file.name, csv=text), everything, lambda _: None)
    return _joined([part.frame for part in parts])


def exact_window(table: Table, time: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the window with its open ends closed at the rows themselves: later rows will not belong to it."""
    since, until = table.window
    if time is None:
        return since, until
    moments = table.frame[time]
    return since or moments.min().to_pydatetime(), until or moments.max().to_pydatetime() + timedelta(microseconds=1)


def kind_of_source(data: Data) -> str:
    """Return the key under `data.train` that says which kind of source it is."""
    return next(kind for kind in SOURCES if kind in type(data.train).model_fields)


def _request(project: Project, window: Window) -> Request:
    schema, spec = project.schema, project.spec
    columns: tuple[str, ...] | None = (*schema.columns, *((spec.time,) if spec.time else ()))
    if schema.strict is True or schema.checks:  # such a schema has something to say on other columns, too
        columns = None
    strings = frozenset(name for name, column in schema.columns.items() if kind_of(column.dtype) == "string")
    memory = spec.data.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return Request(project.root, columns, strings, spec.time, *window.bounds, memory)


def _bounded(frames: Iterator[pd.DataFrame], limit_bytes: int, source: str) -> Iterator[pd.DataFrame]:
    taken_bytes = 0
    for frame in frames:
        taken_bytes += int(frame.memory_usage(deep=True).sum())
        if taken_bytes > limit_bytes:
            raise DataContractError(
                f"The rows of {source} take more than {limit_bytes / 1e6:,.0f} MB in memory",
                why="Reading was stopped before the machine suffers.",
                hint="Take a shorter window or fewer columns, or allow more under data.memory in model.yaml.",
            )
        yield frame


def _let_go() -> None:
    """Give back what Arrow keeps of the memory that files were read in: NumPy and the trees cannot use it."""
    import pyarrow as pa  # noqa: PLC0415 (loaded by then)

    pa.default_memory_pool().release_unused()


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows in one table, of the types that they would have had in one piece.

    A piece without rows has no say in them, nor has one in which a column is wholly missing.
    """
    full = [frame for frame in frames if len(frame)]
    if len(full) < 2:  # noqa: PLR2004 (one piece is what it is)
        return full[0].reset_index(drop=True) if full else pd.DataFrame()
    if all(frame.dtypes.equals(full[0].dtypes) for frame in full):
        return pd.concat(full, ignore_index=True)  # by blocks of columns: of a wide table far faster, in less memory
    return pd.DataFrame({name: _column(full, name) for name in dict.fromkeys(chain.from_iterable(full))})


def _column(frames: list[pd.DataFrame], name: Hashable) -> "pd.Series[Any]":
    pieces = [frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object) for frame in frames]
    told = next((piece.dtype for piece in pieces if piece.notna().any()), None)
    if told is not None and all(piece.dtype in (told, object) for piece in pieces):
        pieces = [piece if piece.dtype == told or piece.notna().any() else _missing_of(piece, told) for piece in pieces]
    return pd.concat(pieces, ignore_index=True)


def _missing_of(piece: "pd.Series[Any]", dtype: Any) -> "pd.Series[Any]":  # noqa: ANN401 (pandas has no common type)
    """Return a piece without values in the type that others have, where that type can be missing."""
    numeric = isinstance(dtype, np.dtype) and dtype.kind in "iu"
    if numeric or (isinstance(dtype, np.dtype) and dtype.kind == "b"):
        return piece.astype("float64") if numeric else piece
    return piece.astype(dtype)


def _nothing(project: Project, kind: str, request: Request, source: str) -> DataContractError:
    """Return why there are no rows; to say where there are any, the times are read once more, without the window."""
    time = project.spec.time
    if time is None or (request.since is None and request.until is None):
        return DataContractError(f"{source} holds no rows", hint="Write it again, with a row or more.")
    every = replace(request, columns=(time,), since=None, until=None)
    parts = _timed(SOURCES[kind].read(project.spec.data.train, every, lambda _: None), project)
    ends = [(part.frame[time].min(), part.frame[time].max()) for part in parts if len(part.frame)]
    if not ends:
        return DataContractError(f"{source} holds no rows", hint="Write it again, with a row or more.")
    first, last = min(end for end, _ in ends), max(end for _, end in ends)
    return DataContractError(
        f"{source} holds no rows from {request.since or 'the beginning'} until {request.until or 'the end'}",
        why=f"It reaches from {first} to {last}.",
        hint="Look at --since and --until, or at data.window in model.yaml.",
    )


def _window(project: Project, since: datetime | None, until: datetime | None) -> Window:
    given = project.spec.data.window or Window()
    if (since or until) and project.spec.time is None:
        raise InvalidFileError(
            "Rows of a window were asked for, and model.yaml names no time column",
            hint="Add `time: <column>` to model.yaml, or leave --since and --until out.",
        )
    try:
        return Window(from_=since or given.from_, until=until or given.until)
    except ValueError as error:
        raise InvalidFileError("The window ends before it begins", hint="Look at --since and --until.") from error


def _timed(parts: Iterator[Part], project: Project) -> Iterator[Part]:
    time = project.spec.time
    for part in parts:
        if time is None:
            yield part
        else:
            moments = _moments(part, time, discreet=time in project.sensitive)
            yield Part(part.name, replaced(part.frame, {time: moments}), part.available)


def _moments(part: Part, time: str, *, discreet: bool) -> "pd.Series[pd.Timestamp]":
    if time not in part.frame:
        raise DataContractError(
            f"{part.name} has no column {time}",
            why=f"model.yaml names it as the time. There are {', '.join(part.available or part.frame)}.",
            hint="Correct `time` in model.yaml (and the schema), or the file.",
        )
    values = part.frame[time]
    if pd.api.types.is_numeric_dtype(values):
        raise DataContractError(
            f"{part.name}: {time} holds numbers, not moments",
            why="A number does not say whether it counts days, seconds or nanoseconds.",
            hint="Write moments as in ISO 8601, or as timestamps of Parquet.",
        )
    parsed = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    if parsed.isna().any():
        _refuse_moments(part.name, time, values[parsed.isna()], discreet=discreet)
    return parsed.dt.as_unit("us")


def _refuse_moments(name: str, time: str, wrong: Any, *, discreet: bool) -> None:  # noqa: ANN401 (pandas is not typed here)
    shown = {row: "missing" if pd.isna(value) else repr(value) for row, value in wrong[:3].items()}
    rows = ", ".join(f"row {row}" if discreet else f"row {row} ({words})" for row, words in shown.items())
    raise DataContractError(
        f"{name}: {len(wrong)} values of {time} are not moments: {rows}",
        why="Rows are counted from 0, without the header. Expected ISO 8601, such as 2026-01-31T18:00:00Z.",
        hint="Correct these rows, or leave them out.",
    )


def _within(frame: pd.DataFrame, time: str | None, window: Window) -> pd.DataFrame:
    since, until = window.bounds
    if time is None or (since is None and until is None):
        return frame
    moments = frame[time]
    keep = (moments >= (since or datetime.min.replace(tzinfo=UTC))) & (
        moments < (until or datetime.max.replace(tzinfo=UTC))
    )
    return frame[keep]
