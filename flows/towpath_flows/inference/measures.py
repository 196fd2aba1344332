"""Which columns of text are numbers beside a sign or unit, or times as 11:38:36; and what they say without it."""

import re
from collections.abc import Mapping
from typing import Final

from towpath_bento.limits import wrong_with_name
from towpath_flows.data.sources.measures import CLOCKS, ZERO, amount, clock
from towpath_flows.inference import texts
from towpath_flows.inference.naming import one_line
from towpath_flows.text_spec import TextSpec

_CLOCK: Final = re.compile(r"(?:\d+ days? )?(\d{1,3}):[0-5]\d(:[0-5]\d(?:\.\d+)?)?\s*(?:[AaPp]\.?[Mm]\.?)?")
_BESIDES: Final = re.compile(r"[\d.,' +()\u00a0\u202f\u2212-]")
_SIGN: Final = re.compile(r"[$€£¥₹%‰°]")
_FEWEST: Final = 3  # different values, of which a column is made
_FEWEST_WORDY: Final = 13  # different ones beside letters, as 80 kg: fewer are names, as 4WD
_LONGEST_DAY: Final = 24  # hours

Columns = Mapping[str, list[str]]


def units(columns: Columns, marks: frozenset[str]) -> dict[str, str]:
    """Return column → unit, as `csv: units` tells it; what is in `marks` means that there is no value."""
    found = {}
    for name, written in columns.items():
        known = [text for text in written if text.lower() not in marks]
        unit = (_clock(known) or _unit(known)) if len(known) >= _FEWEST and not wrong_with_name(name) else None
        if unit:
            found[name] = unit
    return found


def bare(written: list[str], unit: str) -> list[str]:
    """Return numbers without their unit, to find out how they are written; times, which need no finding out, as 0."""
    if unit in CLOCKS:
        return ["0"]
    return [re.sub(r"[()]", "", text).replace(unit, "").strip() for text in written]


def told(columns: Columns, found: Mapping[str, str], text: TextSpec) -> list[str]:
    """Say how each was read, by an example."""
    doubts = []
    for name, unit in found.items():
        seconds = CLOCKS.get(unit)
        read = ((each, clock(each, seconds) if seconds else amount(each, unit, text)) for each in columns[name])
        example = next(((each, number) for each, number in read if number is not None), None)
        if example is not None:
            what = f"{example[1]:.10g}{' seconds' if seconds else ''}"
            shown = f"{one_line(example[0], 30)} in {one_line(name)} is read as {what}"
            doubts.append(f"{shown}, which callers send, too (`csv: units`).")
    return doubts


def _clock(known: list[str]) -> str | None:
    found = [_CLOCK.fullmatch(text) for text in known]
    if not all(found):
        return None
    parts = {each[2] is not None for each in found if each}
    if len(parts) > 1:
        return None
    if parts.pop():
        return "h:m:s"
    return "h:m" if max(int(each[1]) for each in found if each) <= _LONGEST_DAY else "m:s"


def _unit(known: list[str]) -> str | None:
    known = [text for text in known if not ZERO.fullmatch(text)]
    if not texts.are_measures(known):
        return None
    unit = min(_BESIDES.sub("", text) for text in known)
    return unit if _SIGN.search(unit) or len(set(known)) >= _FEWEST_WORDY else None
