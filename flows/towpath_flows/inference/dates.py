"""Dates that are written another way than ISO 8601, in columns of separated text: how, so that they can be read.

Python cannot tell 3/4/2026 of April from that of March; where both readings fit every row it is said.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import product
from typing import Any, Final

import pandas as pd

from towpath_bento.limits import wrong_with_name
from towpath_flows.data.sources.separated import moments
from towpath_flows.inference import texts
from towpath_flows.inference.naming import one_line

_DAYS: Final = (
    *(f"%d{mark}%m{mark}%{year}" for mark, year in product((".", "/", "-"), "Yy")),
    *(f"%m{mark}%d{mark}%{year}" for mark, year in product(("/", "-"), "Yy")),
    *(f"%Y{mark}%m{mark}%d" for mark in ("/", ".")),
    *(f"%d{mark}%{month}{mark}%{year}" for mark, month, year in product((" ", "-"), "bB", "Yy")),
    *(f"{month} %d{comma} %Y" for month, comma in product(("%b", "%B"), (",", ""))),
)
_HOURS: Final = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p"),
    *(f" %H:%M{seconds}{zone}" for seconds, zone in product(("", ":%S", ":%S.%f"), (" UTC", " %z", "%z"))),
)
_FORMS: Final = (
    *(day + hour for day, hour in product(_DAYS, _HOURS)),
    *(f"%Y-%m-%d %H:%M:%S{part} UTC" for part in ("", ".%f")),  # of ISO 8601 but for the last word
    *("%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y"),
)
_COMPACT: Final = "%Y%m%d"
_FIRST_DAY: Final = 19_000_101  # as numbers
_LAST_DAY: Final = 21_001_231

Series = Any  # pandas is not typed here


def formats(frame: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Return column → format of `strptime` of all columns of dates that are not in ISO 8601, and doubts."""
    found, doubts = {}, []
    for name in frame:
        if wrong_with_name(name):
            continue
        fitting = list(_fitting(frame[name].dropna()))
        if not fitting:
            continue
        found[str(name)] = chosen = _in_order(frame[name], fitting)
        others = [each for each in fitting if each != chosen]
        doubt = f"; {others[0]} would fit as well" if others else ""
        doubts.append(f"{one_line(str(name))} is read as dates of the form {chosen} (`csv: dates`){doubt}.")
    return found, doubts


def _fitting(known: Series) -> Iterator[str]:
    """Yield the formats in which every value is a date."""
    if pd.api.types.is_integer_dtype(known.dtype):
        if len(known) and known.min() >= _FIRST_DAY and known.max() <= _LAST_DAY:
            yield from _all_are(known, [_COMPACT])
        return
    shown = texts.some(known) if pd.api.types.infer_dtype(known) == "string" else []
    if shown and texts.look_like_dates(shown):
        yield from _all_are(known, [each for each in _FORMS if _is(shown[0], each)])


def _all_are(known: Series, wanted: list[str]) -> Iterator[str]:
    different = pd.Series(pd.unique(known)).astype(str)
    for each in wanted:
        if pd.to_datetime(different.str.strip(), format=each, errors="coerce", utc=True).notna().all():
            yield each


def _is(text: str, form: str) -> bool:
    try:
        datetime.strptime(text.strip(), form)  # noqa: DTZ007 (only whether it can be read)
    except ValueError:
        return False
    return True


def _in_order(values: Series, fitting: list[str]) -> str:
    """Of several readings take the one in which the rows are in order, else the first."""
    if len(fitting) == 1:
        return fitting[0]
    return next((each for each in fitting if moments(values, each).is_monotonic_increasing), fitting[0])
