"""Joins over files: a query in which each file has a name, answered by DuckDB within bounded memory.

The query reads the files that model.yaml names and no others, and loads no extension.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pandas as pd

from towpath_flows.data.sources.base import BATCH_ROWS, Input, Part, Request, missing
from towpath_flows.data.sources.files import find
from towpath_flows.data_spec import DuckdbSource
from towpath_gitops.errors import DataContractError
from towpath_gitops.files import scratch
from towpath_gitops.layout import state
from towpath_gitops.records.base import digest_file

_READERS: Final = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_ndjson", ".ndjson": "read_ndjson"}


def describe(spec: DuckdbSource) -> str:
    """Return the files."""
    return f"duckdb: {', '.join(spec.files.values())}"


def read(spec: DuckdbSource, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:
    """Yield the query's rows in batches, sorted by time and then by every other column; see the base's `Source`.

    What does not fit into memory while rows are joined and sorted goes to a folder of .towpath.

    Raises:
        NotFoundError: a file is not there.
        DataContractError: DuckDB refuses the query, a file is damaged, or memory does not suffice.
    """
    try:
        import duckdb  # noqa: PLC0415 (heavy, and an extra)
    except ImportError as error:
        raise missing("DuckDB", "duckdb", error) from error
    files = {name: find(request.root / path, path) for name, path in spec.files.items()}
    with scratch(state(request.root, "incoming"), ".duckdb-") as folder, duckdb.connect() as connection:
        try:
            _shut_in(connection, files, folder, request)
            yield from _answer(connection, spec, request)
        except duckdb.Error as error:
            raise DataContractError(f"DuckDB refuses the query {describe(spec)}", why=str(error)[:500]) from error
    for path in chain.from_iterable(files.values()):
        shown = path.relative_to(request.root).as_posix() if path.is_relative_to(request.root) else str(path)
        note(Input(shown, digest_file(path), path.stat().st_size))


def _shut_in(connection: Any, files: dict[str, list[Path]], folder: Path, request: Request) -> None:  # noqa: ANN401 (DuckDB has few types)
    """Give each file its name, then let the connection reach nothing else."""
    paths = [str(path) for path in chain.from_iterable(files.values())]
    for name, setting in {
        "TimeZone": "UTC",
        "memory_limit": f"{request.memory_bytes // 10**6}MB",
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allowed_paths": paths,
        "enable_external_access": False,
        "lock_configuration": True,
    }.items():
        connection.execute(f"SET {name} = {_literal(setting)}")
    for name, found in files.items():
        reader = _READERS[found[0].suffix]
        named = _literal([str(path) for path in found])
        connection.execute(f'CREATE TEMP VIEW "{name}" AS SELECT * FROM {reader}({named})')  # noqa: S608 (names were checked, paths are quoted)


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"


def _answer(connection: Any, spec: DuckdbSource, request: Request) -> Iterator[Part]:  # noqa: ANN401 (as above)
    rows = connection.sql(spec.duckdb.strip().rstrip(";"))
    if rows is None:
        raise DataContractError("data.train.duckdb is no query", why="It gives no rows.", hint="Begin with SELECT.")
    available = tuple(rows.columns)
    kinds = dict(zip(available, map(str, rows.types), strict=True))
    columns = request.chosen(available)
    quoted = ['"' + name.replace('"', '""') + '"' for name in sorted(columns, key=lambda name: name != request.time)]
    if kinds.get(request.time or "", "").startswith("TIMESTAMP"):
        time = quoted[0]
        for sign, end in ((">=", request.since), ("<", request.until)):
            if end is not None:
                rows = rows.filter(f"{time}::TIMESTAMPTZ {sign} '{end.isoformat()}'::TIMESTAMPTZ")
    batches = rows.order(", ".join(quoted)).project(", ".join(quoted)).to_arrow_reader(BATCH_ROWS)
    start, name = 0, describe(spec)
    for batch in chain(batches, [batches.schema.empty_table()]):
        if batch.num_rows or not start:
            frame = batch.to_pandas()[columns]
            frame.index = pd.RangeIndex(start, start + len(frame))
            start += len(frame)
            yield Part(name, frame, available)
