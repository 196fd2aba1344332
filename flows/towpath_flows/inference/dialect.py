"""How a file of separated text is written: its letters, its separator, its numbers, and what means missing in it.

Python's own `csv.Sniffer` counts letters, also those in quoted text, and gives up on short tables; here each separator
is tried by `csv.reader` itself, and the one that gives all lines the same number of fields is taken.
"""

import codecs
import csv
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, get_args

from towpath_flows.data.sources.packed import open_bytes, open_text
from towpath_flows.inference.figures import figures
from towpath_flows.inference.naming import one_line
from towpath_flows.text_spec import Quote, Separator, TextSpec
from towpath_gitops.errors import DataContractError

_ASCII: Final = "ascii"
_FEWEST_LINES: Final = 50  # of each file of a folder
_SAMPLE_BYTES: Final = 2**20
_FOREIGN_BYTES: Final = 2**16  # of lines with other letters than ASCII's, from which an encoding is guessed
_LINES: Final = 5_000
_LOOKED_AT: Final = 100  # lines, for spaces after separators
_NEARLY_ALL: Final = 0.95
_FEWEST_FIELDS: Final = 3  # of a table above which something else may stand
_MOST_ABOVE: Final = 30  # rows
_WITH_MORE_ABOVE: Final = 0.1  # by which a reading that needs rows above it must be better than one that needs none
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_OTHERS: Final = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
}
_WORDS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

Rows = list[list[str]]


@dataclass(frozen=True)
class Dialect:
    """What a file was found to be written in; `doubts` are sentences about what an owner should look at."""

    text: TextSpec
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Written:
    """How one file is written, but for its numbers; `rows` are its first lines, that of the names in front."""

    text: TextSpec
    rows: Rows
    doubts: tuple[str, ...]


def sniff(*paths: Path) -> Dialect:
    """Return the dialect of a file of separated text, or of the files of one table: model.yaml can tell one way only.

    Raises:
        DataContractError: a file is in no encoding that can be told, or two are written differently.
    """
    written = {path.name: _written(path) for path in paths}
    first, *others = written.values()
    text = _together(written)
    few = max(_FEWEST_LINES, _LINES // len(written))
    alike = (each.rows[1:few] for each in others if each.rows[:1] == first.rows[:1])
    found = figures([*first.rows, *chain.from_iterable(alike)], is_continental=text.separator == ";")
    numbers = {"decimal": found.way.decimal, "thousands": found.way.thousands}
    text = text.model_copy(update={**numbers, "missing": found.missing, "units": dict(found.units)})
    doubts = dict.fromkeys([*chain.from_iterable(each.doubts for each in written.values()), *found.doubts])
    return Dialect(text, tuple(doubts))


def _together(written: Mapping[str, _Written]) -> TextSpec:
    """Return what holds for all files: those of ASCII letters alone are in every encoding that others may be in."""
    named = sorted(written, key=lambda name: written[name].text.encoding == _ASCII)
    first = written[named[0]].text
    for name in named:
        text = written[name].text
        if text.encoding == _ASCII and not first.encoding.startswith("utf-16"):
            text = text.model_copy(update={"encoding": first.encoding})
        if text != first:
            raise DataContractError(
                f"{named[0]} and {name} are written differently",
                why=f"{_in_words(first)}; {_in_words(text)}.",
                hint="Write the files of a folder in the same way, or as Parquet.",
            )
    return first.model_copy(update={"encoding": "utf-8"}) if first.encoding == _ASCII else first


def _in_words(text: TextSpec) -> str:
    return ", ".join(f"{name} {getattr(text, name)!r}" for name in ("separator", "encoding", "quote", "skip", "padded"))


def _written(path: Path) -> _Written:
    try:
        encoding, doubts = _encoding(path)
        sample = _sample(path, encoding)
    except (EOFError, OSError, zlib.error) as error:  # what gzip raises; a file that is gone is told before
        raise DataContractError(f"{path.name} cannot be read", why=f"{type(error).__name__}: {error}") from error
    separator, quote, rows, skipped = _separated(sample)
    padded = _are_padded(rows)
    if padded:
        rows = _rows(sample, separator, quote, padded=True)[skipped:]
    lines = _lines_before(sample, separator, quote, skipped)
    doubts += _uneven(path.name, separator, rows)
    if skipped:
        doubts.append(f"{path.name} is read from line {lines + 1} on: no table begins above it (`csv: skip`).")
    text = TextSpec(separator=separator, quote=quote, skip=lines, padded=padded)
    return _Written(text.model_copy(update={"encoding": encoding}), rows, tuple(doubts))


def _encoding(path: Path) -> tuple[str, list[str]]:
    """Return UTF-8 where every byte fits it or a byte order mark says so, else the likeliest, and a doubt."""
    with open_bytes(path) as opened:
        start = opened.read(_SAMPLE_BYTES)
    told = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if told is not None:
        return told, []
    if b"\0" in start:
        return _wide(path.name, start), []
    if _is_utf_8(path):
        return (_ASCII if start.isascii() and _decodes(path, _ASCII) else "utf-8"), []
    return _guessed(path)


def _wide(name: str, start: bytes) -> str:
    """Tell UTF-16 without a mark by the side on which the empty halves of ASCII letters lie."""
    halves = {"utf-16-be": start[0::2].count(0), "utf-16-le": start[1::2].count(0)}
    found = max(halves, key=lambda each: halves[each])
    kind = next((kind for mark, kind in _OTHERS.items() if start.startswith(mark)), None)
    if kind or halves[found] < len(start) / 8:
        raise DataContractError(
            f"{name} holds bytes of zero, which no text does",
            why=f"It begins as {kind} does." if kind else "It may be damaged, or no file of separated text at all.",
            hint="Write it again as UTF-8, or as Parquet, with the ending of what it is.",
        )
    return found


def _is_utf_8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(path) as opened:
        try:
            while block := opened.read(_SAMPLE_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _guessed(path: Path) -> tuple[str, list[str]]:
    """Guess from the lines that hold other letters than ASCII's; of equals, what Windows writes in the West."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 (only here)

    foreign = _foreign(path)
    found = from_bytes(foreign)
    best = found.best()
    if best is None:
        raise DataContractError(
            f"{path.name} is written in no encoding that can be told",
            why="It is not UTF-8, and no other gives words.",
            hint="Write it again as UTF-8, or as Parquet.",
        )
    fit = {
        name for match in found if match.chaos <= best.chaos for name in (match.encoding, *match.could_be_from_charset)
    }
    encoding = "cp1252" if "cp1252" in fit and _decodes(path, "cp1252") else best.encoding
    words = next((word for word in foreign.decode(encoding, errors="replace").split() if not word.isascii()), "")
    said = f"it is taken for {encoding}, in which it says {one_line(words, 30)!r}"
    return encoding, [f"{path.name} is not UTF-8; {said}. Is that right?"]


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with open_text(path, encoding) as opened:
            while opened.read(_SAMPLE_BYTES):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _foreign(path: Path) -> bytes:
    taken, size = [], 0
    with open_bytes(path) as lines:
        for line in lines:
            if not line.isascii():
                taken.append(line)
                size += len(line)
            if size > _FOREIGN_BYTES:
                break
    return b"".join(taken)


def _sample(path: Path, encoding: str) -> str:
    """Return the beginning of a file, up to the end of a line."""
    with open_text(path, TextSpec(encoding=encoding).codec, newline="") as opened:
        text = opened.read(_SAMPLE_BYTES)
        more = bool(opened.read(1))
    return text[: text.rfind("\n") + 1] if more and "\n" in text else text


def _separated(sample: str) -> tuple[Separator, Quote, Rows, int]:
    """Return the separator and quote by which most lines have as many fields as the first, the fields from there on.

    The number is how many rows stand before the first: what a program or a person wrote above the table.
    """
    tried = []
    for quote in get_args(Quote):
        for separator in get_args(Separator):
            rows = _rows(sample, separator, quote)
            above = _above(rows)
            tried.append((separator, quote, rows[above:], above))
    return max(tried, key=_evenness)


def _above(rows: Rows) -> int:
    """Return how many rows are no part of the table: they hold a single field, where most have three or more."""
    if not rows:
        return 0
    usual = Counter(map(len, rows)).most_common(1)[0][0]
    if usual < _FEWEST_FIELDS:
        return 0
    begun = (place for place, row in enumerate(rows[: _MOST_ABOVE + 1]) if sum(map(bool, map(str.strip, row))) > 1)
    return next(begun, 0)


def _lines_before(sample: str, separator: str, quote: str, rows: int) -> int:
    """Return how many lines, also empty ones, so many rows take."""
    found = csv.reader(sample.splitlines(keepends=True), delimiter=separator, quotechar=quote)
    taken = islice(filter(None, found), rows)
    return [found.line_num for _ in taken][-1] if rows else 0


def _are_padded(rows: Rows) -> bool:
    """Whether a space stands before nearly every field but the first of a row."""
    looked = [row[1:] for row in rows[:_LOOKED_AT] if len(row) > 1]
    padded = sum(all(field.startswith(" ") for field in row if field) for row in looked)
    return bool(looked) and padded >= _NEARLY_ALL * len(looked) and any(map(any, looked))


def _evenness(tried: tuple[Separator, Quote, Rows, int]) -> tuple[float, float, int]:
    """How well it fits: alike lines, fields without quotes left around them, many fields; a single one is none."""
    rows = tried[2]
    width = len(rows[0]) if rows else 0
    if width < 2:  # noqa: PLR2004 (one field needs no separator)
        return 0.0, 0.0, 0
    alike = sum(len(row) == width for row in rows) / len(rows)
    bare = sum(not _is_quoted(field) for field in rows[0]) / width
    return round(alike, 2) - (_WITH_MORE_ABOVE if tried[3] else 0), bare, width


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] and field[0] in "\"'"


def _rows(sample: str, separator: str, quote: str, *, padded: bool = False) -> Rows:
    try:
        lines = sample.splitlines(keepends=True)
        found = csv.reader(lines, delimiter=separator, quotechar=quote, skipinitialspace=padded)
        return list(islice(filter(None, found), _LINES))
    except csv.Error:  # a field without end: the quote is another
        return []


def _uneven(name: str, separator: str, rows: Rows) -> list[str]:
    width = len(rows[0]) if rows else 0
    other = [place for place, row in enumerate(rows) if len(row) != width]
    if not other or width < 2:  # noqa: PLR2004 (as above)
        return []
    many = f"{len(other):,} of {len(rows):,} lines have another number of fields than the first, which has {width}"
    return [f"{name} seems to be separated by {_WORDS[separator]}, but {many}."]
