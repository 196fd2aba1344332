"""Separated text: a header, and as many fields in every row, in the dialect that model.yaml tells."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from towpath_flows.data.coercion import replaced
from towpath_flows.data.sources.base import BATCH_ROWS, Request
from towpath_flows.data.sources.measures import measured
from towpath_flows.data.sources.packed import open_text
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import DataContractError

_FEW: Final = 20  # fields of a line that a message shows

Piece = tuple[pd.DataFrame, tuple[str, ...]]  # rows, and the names of all columns of the file


def read(path: Path, request: Request, text: TextSpec) -> Iterator[Piece]:
    """Yield rows with the types that the values suggest, except for text: `007` and `1e5` stay what they are.

    Every column is read, though few be wanted: of chosen ones pandas does not notice that a row has more fields than
    the header, and would drop what is too many.

    Raises:
        DataContractError: the rows have more fields than the header.
    """
    header = names(path, text)
    if len(set(header)) != len(header):
        yield pd.DataFrame(), header
        return
    columns = request.chosen(header)
    texts = {name: str for name in columns if name in request.strings or name in text.dates or name in text.units}
    kept = {request.time, *texts}
    with pd.read_csv(
        path,
        names=header,
        header=0,
        index_col=False,
        dtype=texts,
        low_memory=False,
        chunksize=BATCH_ROWS,
        **text.reading,
    ) as chunks:
        for chunk in chunks:
            yield translated(_ungrouped(chunk[columns], text, kept), text), header


def names(path: Path, text: TextSpec) -> tuple[str, ...]:
    """Return the names of all columns; one without a name is called as pandas calls it, `Unnamed: 0`.

    Raises:
        DataContractError: the first row has more fields than the header.
    """
    with open_text(path, text.codec, newline="") as opened:
        for _ in range(text.skip):
            opened.readline()
        rows = csv.reader(opened, delimiter=text.separator, quotechar=text.quote, skipinitialspace=text.padded)
        lines = filter(None, rows)
        header, first = next(lines, []), next(lines, [])
    if not header:
        raise DataContractError(
            f"{path.name} is empty", why="It holds no line with names.", hint="Write it again, with a row or more."
        )
    if len(first) > len(header):
        raise DataContractError(
            f"{path.name} has {len(header)} names of columns and {len(first)} fields in the first row",
            why=f"The header is {_shown(header)}; nobody knows which field has no name.",
            hint="Give each a name, also the numbers of rows; a row ends without a separator. See `csv` in model.yaml.",
        )
    return tuple(name or f"Unnamed: {place}" for place, name in enumerate(header))


def spelled(path: Path, text: TextSpec, columns: list[str], rows: int) -> pd.DataFrame:
    """Return the first rows of some columns as their text spells them, numbers with a point and without groups."""
    found = pd.read_csv(
        path, names=names(path, text), header=0, index_col=False, usecols=columns, dtype=str, nrows=rows, **text.reading
    )
    if text.decimal == "." and text.thousands is None:
        return found
    return found.apply(lambda column: column.map(lambda value: _plain(value, text), na_action="ignore"))


def translated(frame: pd.DataFrame, text: TextSpec) -> pd.DataFrame:
    """Return the table with moments in the columns of `csv: dates`, numbers in those of `csv: units`.

    What is no date of that form, or no number of that unit, keeps its text.
    """
    found = {name: moments(frame[name], form) for name, form in text.dates.items() if name in frame}
    found |= {name: measured(frame[name], unit, text) for name, unit in text.units.items() if name in frame}
    return replaced(frame, found) if found else frame


def moments(values: Any, form: str) -> Any:  # noqa: ANN401 (pandas is not typed here)
    """Return texts as moments in UTC where each is of that form, else as ISO 8601 beside the others as they stand."""
    stripped = values.astype("str").str.strip()
    found = pd.to_datetime(stripped, format=form, errors="coerce", utc=True)
    if found.notna().equals(values.notna()):
        return found
    return found.map(lambda moment: moment.isoformat(), na_action="ignore").astype(object).where(found.notna(), values)


def number(decimal: str, thousands: str | None) -> re.Pattern[str]:
    """Return the pattern of a number that is written with these marks."""
    point, group = re.escape(decimal), re.escape(thousands or "")
    whole = rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d+)" if group else r"\d+"
    return re.compile(rf"\s*[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*")


def _plain(value: str, text: TextSpec) -> str:
    joined = value.replace(text.thousands, "") if text.thousands else value
    return joined.replace(text.decimal, ".")


def _ungrouped(frame: pd.DataFrame, text: TextSpec, kept: set[str | None]) -> pd.DataFrame:
    """Make numbers of columns whose every value is one, with groups of digits; of no date, code or mixture."""
    if text.thousands is None:
        return frame
    pattern = number(text.decimal, text.thousands)
    grouped = {
        name: _joined(frame[name], text) for name in frame if name not in kept and _are_all(frame[name], pattern)
    }
    return replaced(frame, grouped) if grouped else frame


def _are_all(values: Any, pattern: re.Pattern[str]) -> bool:  # noqa: ANN401 (pandas is not typed here)
    known = values.dropna()
    if pd.api.types.is_numeric_dtype(values.dtype) or known.empty:
        return False
    return all(isinstance(value, str) and pattern.fullmatch(value) for value in pd.unique(known))


def _joined(values: Any, text: TextSpec) -> Any:  # noqa: ANN401 (as above)
    return pd.to_numeric(values.map(lambda value: _plain(value, text), na_action="ignore"))


def _shown(fields: list[str]) -> str:
    more = f" and {len(fields) - _FEW} more" if len(fields) > _FEW else ""
    return ", ".join(fields[:_FEW]) + more
