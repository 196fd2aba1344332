"""A journal as a table: for people in a notebook, and for the monitor."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import compute, parquet

from towpath_bento.journal import names
from towpath_bento.journal.places import Place, place_of
from towpath_gitops.errors import InvalidFileError

_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d/\d{6}\.\d{6})-")
_SLACK: Final = timedelta(minutes=2)  # between an answer and its file, and between the clocks of workers


def read_journal(
    folder: str | Path,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    release: str | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows that services have remembered, in the order of their times; `.to_pandas()` makes a frame of them.

    Beside the model's inputs a row has the columns of `towpath_bento.journal.names`. Files that are removed meanwhile
    count as gone. Where releases have different inputs, those that a row's release did not take are null.

    Args:
        folder: a path, or s3://bucket/prefix.
        since: the first moment (in UTC where it has no zone).
        until: the first moment that does not count.
        release: the id of the one release whose rows are wanted.
        columns: what is read; by default everything.

    Raises:
        InvalidFileError: a file is none of a journal, or one column has two types that do not go together.
        UnavailableError: S3 does not answer.
    """
    place, bounds = place_of(folder), (_utc(since), _utc(until))
    tables = [_read(place, name, bounds, release, columns) for name in place.names() if _may_hold(name, *bounds)]
    found = [table for table in tables if table is not None]
    try:
        whole = pa.concat_tables(found, promote_options="permissive") if found else pa.table({names.TIME: _no_time()})
    except pa.ArrowException as error:
        raise InvalidFileError(
            f"The journal in {folder} holds releases whose columns do not go together",
            why=str(error),
            hint="Read one release: read_journal(…, release=…).",
        ) from error
    return whole.sort_by(names.TIME) if names.TIME in whole.column_names else whole


def _read(
    place: Place,
    name: str,
    bounds: tuple[datetime | None, datetime | None],
    release: str | None,
    columns: Sequence[str] | None,
) -> pa.Table | None:
    wanted = None if columns is None else [*dict.fromkeys((names.TIME, names.RELEASE, *columns))]
    try:
        with place.open(name) as source, parquet.ParquetFile(source) as file:
            held = file.schema_arrow.names
            table = file.read(columns=None if wanted is None else [each for each in wanted if each in held])
            return table.filter(_chosen(table, bounds, release))
    except FileNotFoundError:  # the oldest are removed while somebody reads
        return None
    except (pa.ArrowException, KeyError) as error:
        raise InvalidFileError(f"{name} in {place} is no file of a journal", why=str(error)) from error


def _chosen(table: pa.Table, bounds: tuple[datetime | None, datetime | None], release: str | None) -> "pa.ChunkedArray":
    times = table[names.TIME]
    since, until = bounds
    chosen = compute.is_valid(times)
    if since is not None:
        chosen = compute.and_(chosen, compute.greater_equal(times, pa.scalar(since, times.type)))
    if until is not None:
        chosen = compute.and_(chosen, compute.less(times, pa.scalar(until, times.type)))
    if release is not None:
        chosen = compute.and_(chosen, compute.equal(table[names.RELEASE], release))
    return chosen


def _may_hold(name: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether a file may hold rows of the window: its name says when it was begun."""
    found = _NAME.match(name)
    if found is None:
        return True
    begun = datetime.strptime(found[1], "%Y-%m-%d/%H%M%S.%f").replace(tzinfo=UTC)
    early = until is not None and begun - _SLACK >= until
    late = since is not None and begun + timedelta(seconds=names.FILE_S) + _SLACK < since
    return not (early or late)


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _no_time() -> pa.Array:
    return pa.array([], pa.timestamp("us", tz="UTC"))
