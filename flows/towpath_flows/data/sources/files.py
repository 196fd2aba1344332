"""Parquet, CSV and JSON lines: one file, or every such file of a folder in the order of their names."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from towpath_flows.data.sources.base import Part
from towpath_flows.spec import FileSource
from towpath_gitops.errors import DataContractError, NotFoundError

Strings = frozenset[str]


def read(spec: FileSource, root: Path, strings: Strings) -> Iterator[Part]:
    """Yield one part for each file; see `towpath_flows.data.sources.base.Source`."""
    for path in _files(root / spec.file, spec.file):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        yield Part(name, _read_one(path, name, strings))


def _files(path: Path, name: str) -> list[Path]:
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix in READERS and not item.name.startswith("."))
        if not found:
            raise NotFoundError(
                f"The folder {name} holds no data", why=f"Looked for {', '.join(READERS)}.", hint="Put the files there."
            )
        return found
    if not path.exists():
        raise NotFoundError(
            f"There is no data at {name}",
            why="model.yaml names it under data.train.file.",
            hint="Correct the path (from the repository's top), or make the file: see the README.",
        )
    if path.suffix not in READERS:
        raise DataContractError(
            f"{name} is of no kind that can be read", why=f"Its name must end in one of {', '.join(READERS)}."
        )
    return [path]


def _read_one(path: Path, name: str, strings: Strings) -> pd.DataFrame:
    if path.stat().st_size == 0:
        raise DataContractError(
            f"{name} is empty", why="It holds no bytes.", hint="Write it again, with a row or more."
        )
    try:
        frame = READERS[path.suffix](path, strings)
    except Exception as error:
        # Each library fails on a damaged file in ways of its own, without a common base.
        raise DataContractError(
            f"{name} cannot be read as {path.suffix.removeprefix('.')}", why=f"{type(error).__name__}: {error}"
        ) from error
    if len(set(frame.columns)) != len(frame.columns):
        raise DataContractError(f"{name} has two columns of the same name", why=", ".join(map(str, frame.columns)))
    return frame


def _parquet(path: Path, _: Strings) -> pd.DataFrame:
    return pd.read_parquet(path)


def _csv(path: Path, strings: Strings) -> pd.DataFrame:
    """Read with the types that the values suggest, except for text: `007` and `1e5` stay what they are."""
    header = pd.read_csv(path, nrows=1, header=None, dtype=str).iloc[0].fillna("")
    texts = {name: str for name in header if name in strings}
    frame = pd.read_csv(path, dtype=texts, low_memory=False)
    if header.duplicated().any():
        frame.columns = pd.Index(header)  # pandas makes a.1 of the second a
    return frame


def _json_lines(path: Path, _: Strings) -> pd.DataFrame:
    """Read with Python's own parser: pandas' guesses which columns are dates by their names."""
    with path.open(encoding="utf-8") as lines:
        return pd.DataFrame([json.loads(line) for line in lines if line.strip()])


READERS: Final[dict[str, Callable[[Path, Strings], pd.DataFrame]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
