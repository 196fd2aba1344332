"""Joins over files: a query in which each file has a name, answered by DuckDB within bounded memory.

The query reads the files that model.yaml names and no others, and loads no extension.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pandas as pd

from towpath_flows.data.sources import s3
from towpath_flows.data.sources.base import BATCH_ROWS, Input, Part, Request, missing
from towpath_flows.data.sources.files import find
from towpath_flows.data.sources.packed import form, open_text
from towpath_flows.data_spec import DuckdbSource
from towpath_flows.text_spec import USUAL_MARKS, TextSpec
from towpath_gitops.errors import DataContractError
from towpath_gitops.files import scratch
from towpath_gitops.layout import state
from towpath_gitops.records.base import digest_file

_READERS: Final = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".txt": "read_csv",
    ".jsonl": "read_ndjson",
    ".ndjson": "read_ndjson",
}


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
    with scratch(state(request.root, "incoming"), ".duckdb-") as folder, duckdb.connect() as connection:
        found = {name: _found(spec, name, request.root, folder) for name in spec.files}
        try:
            readable = {name: _readable(spec, name, each, folder) for name, each in found.items()}
            _shut_in(connection, readable, folder, request)
            _give_names(connection, readable, spec)
            yield from _answer(connection, spec, request)
        except duckdb.Error as error:
            raise DataContractError(f"DuckDB refuses the query {describe(spec)}", why=str(error)[:500]) from error
        for name, path in chain.from_iterable(each.items() for each in found.values()):
            note(Input(name, digest_file(path), path.stat().st_size))


def _found(spec: DuckdbSource, name: str, root: Path, folder: Path) -> dict[str, Path]:
    """Return what the inputs of one name are called, and where each lies; objects of S3 are fetched first."""
    place = spec.files[name]
    if place.startswith("s3://"):
        below = folder / name
        below.mkdir()
        return dict(s3.fetched(s3.client_of(spec), place, below))
    paths = find(root / place, place)
    return {path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path): path for path in paths}


def _readable(spec: DuckdbSource, name: str, found: dict[str, Path], folder: Path) -> list[Path]:
    """Return the files as DuckDB can read them: in UTF-8, without which it wants an extension."""
    text = spec.csv.get(name)
    if text is None or text.encoding == "utf-8":
        return list(found.values())
    return [_in_utf_8(path, text, folder / f"{name}-{number}.csv") for number, path in enumerate(found.values())]


def _in_utf_8(path: Path, text: TextSpec, to: Path) -> Path:
    try:
        with open_text(path, text.codec, newline="") as source, to.open("w", encoding="utf-8", newline="") as target:
            shutil.copyfileobj(source, target)
    except UnicodeError as error:
        raise DataContractError(f"{path.name} is not written in {text.encoding}", why=str(error)) from error
    return to


def _shut_in(connection: Any, files: dict[str, list[Path]], folder: Path, request: Request) -> None:  # noqa: ANN401 (DuckDB has few types)
    """Let the connection reach these files and nothing else."""
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


def _give_names(connection: Any, files: dict[str, list[Path]], spec: DuckdbSource) -> None:  # noqa: ANN401 (as above)
    for name, found in files.items():
        reader = _READERS[form(found[0])]
        named = _literal([str(path) for path in found])
        if name in spec.csv and reader == "read_csv":
            named += _options(spec.csv[name])
        connection.execute(f'CREATE TEMP VIEW "{name}" AS SELECT * FROM {reader}({named})')  # noqa: S608 (names were checked, paths are quoted)


def _options(text: TextSpec) -> str:
    """Return how a file is written as DuckDB's `read_csv` is told."""
    marks = ["", *text.missing, *(sorted(USUAL_MARKS) if text.usual_marks else ())]
    told: dict[str, object] = {"delim": text.separator, "quote": text.quote, "decimal_separator": text.decimal}
    told |= {"nullstr": marks, "header": True} | ({"thousands": text.thousands} if text.thousands else {})
    told |= {"skip": text.skip} if text.skip else {}
    return "".join(f", {name} = {_literal(value)}" for name, value in told.items())


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
