"""JSON lines: one object a line, whose values are plain."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd

from towpath_flows.data.sources.base import BATCH_ROWS, Request
from towpath_flows.data.sources.packed import open_text
from towpath_flows.data.sources.separated import Piece
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import DataContractError

_NESTED: Final[dict[type, str]] = {dict: "an object", list: "a list"}


def read(path: Path, request: Request, _: TextSpec) -> Iterator[Piece]:
    """Yield rows, read with Python's own parser: pandas' guesses which columns are dates by their names.

    Raises:
        DataContractError: naming the line that is no object, or the line and field whose value is nested.
    """
    with open_text(path, "utf-8") as lines:
        numbered = _objects(lines, path.name)
        start, names = 0, dict[str, None]()
        while taken := list(islice(numbered, BATCH_ROWS)):
            places, rows = zip(*taken, strict=True)
            names |= dict.fromkeys(name for row in rows for name in row)
            columns = request.chosen(names)
            index = pd.RangeIndex(start, start + len(rows))
            start += len(rows)
            frame = pd.DataFrame(list(rows), index=index, columns=columns)
            if request.columns is not None:  # of all columns those that are wanted are not known yet
                _require_plain(frame, rows, places, path.name)
            yield frame, tuple(names)


def _objects(lines: IO[str], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each line that is not empty with its number, from 1."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataContractError(
                f"{name}, line {number} is no JSON", why=str(error), hint="Write one object a line: JSON lines."
            ) from error
        if not isinstance(row, dict):
            raise DataContractError(
                f"{name}, line {number} is no object",
                why=f"It is {type(row).__name__}; a row is an object of columns and values.",
                hint="Write one object a line, not one list of them.",
            )
        yield number, row


def _require_plain(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]], places: Sequence[int], name: str) -> None:
    for column in (name for name in frame if pd.api.types.is_object_dtype(frame[name].dtype)):
        for place, row in zip(places, rows, strict=True):
            if (kind := _NESTED.get(type(row.get(column)))) is not None:
                raise DataContractError(
                    f"{name}, line {place}, field {column} is {kind}",
                    why="A column holds numbers, truths or text.",
                    hint=f"Write what is in {column} as columns of its own, or leave the column out of the schema.",
                )
