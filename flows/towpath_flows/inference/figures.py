"""How numbers are written in fields of text: the mark before the decimals, groups of digits, and what stands for none.

Each way of writing them is tried on every column, and the one that makes numbers of most columns is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Literal

from towpath_flows.data.sources.separated import number
from towpath_flows.inference import measures
from towpath_flows.inference.naming import one_line
from towpath_flows.text_spec import USUAL_MARKS, Grouping, TextSpec


@dataclass(frozen=True)
class Way:
    """How numbers are written: the mark before the decimals, and the one between groups of three digits."""

    decimal: Literal[".", ","] = "."
    thousands: Grouping | None = None

    @property
    def number(self) -> re.Pattern[str]:
        """What a number looks like."""
        return number(self.decimal, self.thousands)


_WORDLIKE: Final = frozenset({"N/A", "NA", "NULL", "None", "n/a", "null"})
# What people and programs write besides; only ever taken for missing in a column of numbers.
_OTHER_MARKS: Final = frozenset(
    {
        "?",
        "-",
        "--",
        "---",
        ".",
        "..",
        "...",
        "*",
        "#",
        "x",
        "n.a.",
        "na.",
        "n.v.",
        "k.a.",
        "k. a.",
        "n.d.",
        "s.o.",
        "nd",
    }
    | {
        "missing",
        "unknown",
        "unbekannt",
        "fehlt",
        "inconnu",
        "not available",
        "no data",
        "(null)",
        "\\n",
        "nil",
        "blank",
    }
    | {"none", "n/a", "na", "nan", "null", "<na>", "unk", "undefined", "not applicable", "keine angabe"}
    | {"inf", "+inf", "-inf", "infinity", "-infinity"}  # no numbers to learn from
    | {"#div/0!", "#value!", "#wert!", "#ref!", "#name?", "#n/v", "#nv", "#nul!", "#null!", "#num!", "#zahl!"}
)
_USUAL: Final[Way] = Way()
_WAYS: Final = (
    _USUAL,
    Way(decimal=","),
    Way(thousands=","),
    Way(decimal=",", thousands="."),
    *(Way(decimal=point, thousands=group) for group in (" ", "\u00a0", "\u202f", "'") for point in (".", ",")),
)
# In which the same mark means the other thing: 1,234 is a thousand and more, or a little over one.
_OPPOSITES: Final = {_USUAL: Way(decimal=",", thousands="."), Way(decimal=","): Way(thousands=",")}
_MOST_TEXTS: Final = 1_000  # different ones of a column that are looked at
_FEWEST_NUMBERS: Final = 3  # different ones, of which a column with marks is made
_SHOWN: Final = 3
_NO_WORDS: Final = frozenset({"?", "??", "???", "-", "--", "---", "\u2013", "\u2014"})
_LONGEST_BLANK: Final = 40  # letters of a mark

Columns = dict[str, list[str]]


@dataclass(frozen=True)
class Figures:
    """How numbers are written; `doubts` are sentences about what an owner should look at."""

    way: Way
    missing: tuple[str, ...]
    units: Mapping[str, str]
    doubts: tuple[str, ...] = ()


def figures(rows: Sequence[Sequence[str]], *, is_continental: bool) -> Figures:
    """Return how the numbers of some lines are written; the first line holds the names.

    Where `1,234` could be a thousand and more or a little over one, `is_continental` (fields separated by semicolons)
    speaks for the latter.
    """
    written = columns = _columns(rows)
    units = measures.units(columns, _OTHER_MARKS)
    columns = columns | {name: measures.bare(columns[name], unit) for name, unit in units.items()}
    read = {way: {name for name, texts in columns.items() if _are_numbers(texts, way.number)} for way in _WAYS}
    best = max(_WAYS, key=lambda way: len(read[way]))
    rival = _OPPOSITES.get(best, best)
    is_open = rival != best and read[rival] >= read[best] and _differ(columns, read[best], best)
    if is_open:
        best = next(way for way in (best, rival) if (way.decimal == ",") == is_continental)
    units = {name: unit for name, unit in units.items() if name in read[best]}
    marks = _marks(columns, read[best], best.number)
    unknown = _unknown(marks, {name: texts for name, texts in columns.items() if name not in read[best]})
    text = TextSpec(decimal=best.decimal, thousands=best.thousands)
    doubts = _said(columns, read[best], best, is_open=is_open and best != _USUAL)
    doubts += _unread(set().union(*read.values()) - read[best], best) + _meant(marks)
    doubts += _swallowed(rows, read[best]) + _guessed(unknown) + measures.told(written, units, text)
    missing = {*marks, *unknown, *_blank(rows)}
    return Figures(best, tuple(sorted(missing)), units, tuple(doubts))


def _columns(rows: Sequence[Sequence[str]]) -> Columns:
    if len(rows) < 2:  # noqa: PLR2004 (names, and a row at least)
        return {}
    names, *values = rows
    found = {}
    for place, (name, column) in enumerate(zip(names, zip_longest(*values, fillvalue=""), strict=False)):
        known = dict.fromkeys(text.strip() for text in column)
        found[name or f"Unnamed: {place}"] = [text for text in known if text and text not in USUAL_MARKS][:_MOST_TEXTS]
    return found


def _blank(rows: Sequence[Sequence[str]]) -> set[str]:
    """Return the fields that are nothing but spaces: pandas takes none of them for missing."""
    return {text for row in rows[1:] for text in row if text and len(text) <= _LONGEST_BLANK and not text.strip()}


def _unknown(known: tuple[str, ...], columns: Columns) -> dict[str, str]:
    """Return mark → column of words in which it says that there is none, unless it is a value elsewhere: Rh + and -."""
    found: dict[str, str] = {}
    values: set[str] = set()
    for name, texts in columns.items():
        marks = [text for text in texts if text in _NO_WORDS]
        others = [text for text in texts if text not in _NO_WORDS]
        if others and all(any(map(str.isalnum, text)) for text in others):
            found |= dict.fromkeys(marks, name)
        else:
            values.update(marks)
    return {mark: name for mark, name in found.items() if mark not in values and mark not in known}


def _guessed(unknown: Mapping[str, str]) -> list[str]:
    if not unknown:
        return []
    shown = ", ".join(f"{mark!r} in {one_line(name)}" for mark, name in list(unknown.items())[:_SHOWN])
    return [f"{shown} is read as missing (`csv: missing` in model.yaml): is that what it means?"]


def _swallowed(rows: Sequence[Sequence[str]], numbers: set[str]) -> list[str]:
    """Say which columns of words hold a usual mark: NA may be Namibia."""
    names = rows[0] if rows else ()
    found = {
        (name, text): None
        for row in rows[1:]
        for name, text in zip(names, row, strict=False)
        if name not in numbers and text in _WORDLIKE
    }
    if not found:
        return []
    shown = ", ".join(f"{text} in {one_line(name)}" for name, text in list(found)[:_SHOWN])
    return [f"{shown} is read as missing; if it is a value, say `csv: {{usual_marks: false}}` in model.yaml."]


def _are_numbers(texts: list[str], pattern: re.Pattern[str]) -> bool:
    """Whether they are numbers, but for a few words that commonly mean that there is none."""
    others = [text for text in texts if not pattern.fullmatch(text)]
    numbers = len(texts) - len(others)
    if not others:
        return numbers > 0
    return numbers >= max(_FEWEST_NUMBERS, len(others)) and all(text.lower() in _OTHER_MARKS for text in others)


def _differ(columns: Columns, names: set[str], way: Way) -> bool:
    return any(way.decimal in text for name in names for text in columns[name])


def _marks(columns: Columns, names: set[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(sorted({text for name in names for text in columns[name] if not pattern.fullmatch(text)}))


def _said(columns: Columns, names: set[str], way: Way, *, is_open: bool) -> list[str]:
    """Say how a number was read, where that is not evident."""
    mark = way.thousands or (way.decimal if is_open else None)
    if mark is None:
        return []
    pattern = way.number
    texts = ((name, text) for name in sorted(names) for text in columns[name] if mark in text)
    example = next(((name, text) for name, text in texts if pattern.fullmatch(text)), None)
    if example is None:
        return []
    name, text = example
    meant = text.replace(way.thousands or "", "").replace(way.decimal, ".")
    sure = "; it could be the other way round" if is_open else ""
    return [f"{one_line(text, 30)} in {one_line(name)} is read as {meant} (`csv` in model.yaml){sure}."]


def _unread(names: set[str], way: Way) -> list[str]:
    if not names:
        return []
    shown = ", ".join(one_line(name) for name in sorted(names)[:_SHOWN])
    wanted = f"with {way.decimal!r} before the decimals"
    return [f"{shown} would be numbers if they were written as those of other columns, {wanted}; now they stay text."]


def _meant(marks: tuple[str, ...]) -> list[str]:
    if not marks:
        return []
    shown = ", ".join(repr(one_line(mark, 20)) for mark in marks)
    return [f"{shown} in columns of numbers is read as missing (`csv: missing` in model.yaml): is that what it means?"]
