"""Parquet, separated text and JSON lines, also packed: one file, or every such file of a folder, by their names."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, Final

import pandas as pd

from towpath_flows.data.sources import json_lines, separated
from towpath_flows.data.sources.base import Input, Part, Request, at_utc, batch_rows
from towpath_flows.data.sources.packed import PACKED, ending, form
from towpath_flows.data.sources.separated import Piece
from towpath_flows.data_spec import FileSource
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import DataContractError, NotFoundError
from towpath_gitops.records.base import digest_file

_SHOWN: Final = 5  # names in a message
_AHEAD: Final = 2  # batches of Parquet that are read before they are asked for; Arrow's sixteen may be the whole table


def describe(spec: FileSource) -> str:
    """Return the path."""
    return spec.file


def read(spec: FileSource, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:
    """Yield the rows of each file in pieces; see `towpath_flows.data.sources.base.Source`."""
    for path in find(request.root / spec.file, spec.file):
        name = path.relative_to(request.root).as_posix() if path.is_relative_to(request.root) else str(path)
        yield from read_file(path, name, request, spec.csv)
        note(Input(name, digest_file(path), path.stat().st_size))


def find(path: Path, name: str) -> list[Path]:
    """Return the file at `path`, or the files of the folder there; `name` is what messages call it.

    Raises:
        NotFoundError: there is none.
        DataContractError: it is of another kind.
    """
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if ending(item) in LISTED and not item.name.startswith("."))
        if not found:
            below = any(each.is_dir() for each in path.iterdir())
            raise NotFoundError(
                f"The folder {name} holds no data",
                why=f"Looked for {', '.join(LISTED)}{', not in the folders in it' if below else ''}.",
                hint="Put the files there, side by side.",
            )
        return found
    if not path.exists():
        raise NotFoundError(
            f"There is no data at {name}",
            why="model.yaml names it under data.train.",
            hint="Correct the path (from the repository's top), or make the file: see the README.",
        )
    require_readable(path, name)
    return [path]


def require_readable(path: PurePath, name: str) -> None:
    """Refuse a file of which no reader knows the kind; `name` is what the message calls it.

    Raises:
        DataContractError: its ending is none of those that are read.
    """
    if ending(path) not in READ:
        raise DataContractError(
            f"{name} is of no kind that can be read",
            why=f"Its name must end in one of {', '.join(READ)}.",
            hint="Write it in one of these; of packed files those by gzip are read (not zst, zip or bz2).",
        )


def read_file(path: Path, name: str, request: Request, text: TextSpec) -> Iterator[Part]:
    """Yield the rows of one file in pieces, one at least; rows are counted on through them.

    `text` says how it is written, where it is separated text.

    Raises:
        DataContractError: it is empty, cannot be read, or has two columns of the same name.
    """
    if path.stat().st_size == 0:
        raise DataContractError(
            f"{name} is empty", why="It holds no bytes.", hint="Write it again, with a row or more."
        )
    pieces = READERS[form(path)](path, request, text)
    while True:
        try:
            frame, available = next(pieces)
        except StopIteration:
            return
        except DataContractError:
            raise
        except UnicodeError as error:
            raise _other_letters(name, text, error) from error
        except Exception as error:
            # Each library fails on a damaged file in ways of its own, without a common base.
            raise DataContractError(
                f"{name} cannot be read as {ending(path).removeprefix('.')}",
                why=f"{type(error).__name__}: {error}",
                hint="Is it whole, is it what its ending says, and does each row have as many fields as the first?",
            ) from error
        if len(set(available)) != len(available):
            twice = [column for column, times in Counter(available).items() if times > 1]
            raise DataContractError(
                f"{name} has two columns of the same name",
                why=f"{', '.join(map(repr, twice[:_SHOWN]))} occurs more than once.",
                hint="Rename one of them, or leave it out.",
            )
        yield Part(name, frame, available)


def _other_letters(name: str, text: TextSpec, error: UnicodeError) -> DataContractError:
    return DataContractError(
        f"{name} is not written in {text.encoding}",
        why=str(error),
        hint="Name its encoding in model.yaml (`csv: {encoding: cp1252}` beside `file`), or write it again as UTF-8.",
    )


def _parquet(path: Path, request: Request, _: TextSpec) -> Iterator[Piece]:
    """Read only the columns that are asked for; row groups outside the window are not even opened."""
    import pyarrow as pa  # noqa: PLC0415 (heavy)
    import pyarrow.dataset as ds  # noqa: PLC0415 (as above)

    dataset = ds.dataset(path, format="parquet")
    kept = [field for field in dataset.schema if not field.name.startswith("__index_level_")]
    names = tuple(field.name for field in kept)
    if len(set(names)) != len(names):
        yield pd.DataFrame(), names
        return
    columns, window = request.chosen(names), None
    if request.time in names and pa.types.is_timestamp(dataset.schema.field(request.time).type):
        window = _window(ds.field(request.time), dataset.schema.field(request.time).type, request)
    schema = pa.schema([dataset.schema.field(name) for name in columns], dataset.schema.metadata)
    found = False
    reading = {"batch_size": batch_rows(len(columns)), "batch_readahead": _AHEAD, "fragment_readahead": 1}
    for batch in dataset.to_batches(columns=columns, filter=window, **reading):
        if batch.num_rows:
            found = True
            yield _as_pandas(pa.Table.from_batches([batch]).cast(schema)), names
    if not found:
        yield _as_pandas(schema.empty_table()), names


def _as_pandas(table: Any) -> pd.DataFrame:  # noqa: ANN401 (pyarrow is not typed here)
    frame: pd.DataFrame = table.to_pandas()
    named = [name for name in frame.index.names if name in table.column_names]  # an index that pandas kept as a column
    return (frame.reset_index(level=named) if named else frame).reset_index(drop=True)[table.column_names]


def _window(column: Any, kind: Any, request: Request) -> Any:  # noqa: ANN401 (as above)
    """Return the filter of a column of moments; None for everything."""
    import pyarrow as pa  # noqa: PLC0415 (heavy)

    like = pd.Timestamp.now(tz=kind.tz)
    ends = [
        None if end is None else pa.scalar(pd.Timestamp(at_utc(end, like=like)), type=pa.timestamp("us", tz=kind.tz))
        for end in (request.since, request.until)
    ]
    first = None if ends[0] is None else column >= ends[0]
    last = None if ends[1] is None else column < ends[1]
    return last if first is None else first if last is None else first & last


SEPARATED: Final = frozenset({".csv", ".tsv", ".txt"})
READERS: Final[dict[str, Callable[[Path, Request, TextSpec], Iterator[Piece]]]] = {
    ".parquet": _parquet,
    ".csv": separated.read,
    ".tsv": separated.read,
    ".txt": separated.read,
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
}
READ: Final = (*READERS, *(f"{kind}{PACKED}" for kind in READERS if kind != ".parquet"))
# Of a folder; text in it may as well be words about the data, and is read only where it is named itself.
LISTED: Final = tuple(kind for kind in READ if not kind.startswith(".txt"))
