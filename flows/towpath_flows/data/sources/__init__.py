"""Sources: where rows come from. One module each, one row in the table below."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pandas as pd

from towpath_flows.data.coercion import kind_of, replaced
from towpath_flows.data.sources import files
from towpath_flows.data.sources.base import Part, Source, Table, digest_frame
from towpath_flows.project import Project
from towpath_flows.spec import Window
from towpath_gitops.errors import DataContractError, InvalidFileError

__all__ = ["SOURCES", "Source", "Table", "digest_frame", "load"]

# The key under `data.train` in model.yaml → the module that reads it.
SOURCES: Final[dict[str, Source]] = {"file": files}


def load(project: Project, *, since: datetime | None = None, until: datetime | None = None) -> Table:
    """Read the rows with `since` ≤ time < `until`; what is None comes from `data.window` in model.yaml.

    The time column becomes UTC; moments without a time zone are taken as UTC. Without a time column every row is read.

    Raises:
        NotFoundError: there is no file.
        DataContractError: a file is empty or unreadable, its time column is missing, a moment in it does not parse
            (row and value are named), or no row lies in the window.
        InvalidFileError: a window was asked for and model.yaml names no time column, or it ends before it begins.
    """
    spec = project.spec
    window = _window(project, since, until)
    (kind,) = spec.data.train.model_fields_set
    strings = frozenset(name for name, column in project.schema.columns.items() if kind_of(column.dtype) == "string")
    parts = list(_timed(SOURCES[kind].read(spec.data.train, project.root, strings), spec.time))
    source = str(getattr(spec.data.train, kind))
    whole = pd.concat([part.frame for part in parts], ignore_index=True)
    if whole.empty:
        raise DataContractError(f"{source} holds no rows", hint="Write it again, with a row or more.")
    frame = _within(whole, spec.time, window, source)
    return Table(frame, digest_frame(frame), source, window.bounds)


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


def _timed(parts: Iterator[Part], time: str | None) -> Iterator[Part]:
    for part in parts:
        yield part if time is None else Part(part.name, replaced(part.frame, {time: _moments(part, time)}))


def _moments(part: Part, time: str) -> "pd.Series[pd.Timestamp]":
    if time not in part.frame:
        raise DataContractError(
            f"{part.name} has no column {time}",
            why=f"model.yaml names it as the time. The file has {', '.join(map(str, part.frame.columns))}.",
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
        _refuse_moments(part.name, time, values[parsed.isna()])
    return parsed.dt.as_unit("us")


def _refuse_moments(name: str, time: str, wrong: "pd.Series[object]") -> None:
    rows = ", ".join(f"row {row} ({'missing' if pd.isna(value) else repr(value)})" for row, value in wrong[:3].items())
    raise DataContractError(
        f"{name}: {len(wrong)} values of {time} are not moments: {rows}",
        why="Rows are counted from 0, without the header. Expected ISO 8601, such as 2026-01-31T18:00:00Z.",
        hint="Correct these rows, or leave them out.",
    )


def _within(frame: pd.DataFrame, time: str | None, window: Window, source: str) -> pd.DataFrame:
    since, until = window.bounds
    if time is None or (since is None and until is None):
        return frame
    moments = frame[time]
    keep = (moments >= (since or datetime.min.replace(tzinfo=UTC))) & (
        moments < (until or datetime.max.replace(tzinfo=UTC))
    )
    if not keep.any():
        raise DataContractError(
            f"{source} holds no rows from {since or 'the beginning'} until {until or 'the end'}",
            why=f"It reaches from {moments.min()} to {moments.max()}.",
            hint="Look at --since and --until, or at data.window in model.yaml.",
        )
    return frame[keep].reset_index(drop=True)
