"""Numbers of separated text beside which a sign or unit stands, and times as 11:38:36: read as plain numbers."""

import re
from typing import Any, Final

import pandas as pd

from towpath_flows.text_spec import TextSpec

ZERO: Final = re.compile(r"[+-]?0+(?:[.,]0+)?")
CLOCKS: Final = {"h:m:s": (3600, 60, 1), "h:m": (3600, 60), "m:s": (60, 1)}  # seconds of each part
_CLOCK: Final = re.compile(
    r"(-)?(?:(\d+) days? )?(\d+):([0-5]?\d)(?::([0-5]?\d(?:\.\d+)?))?\s*([AaPp])?(?:\.?[Mm]\.?)?"
)
_MINUSES: Final = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " "})


def measured(values: Any, unit: str, text: TextSpec) -> Any:  # noqa: ANN401 (pandas is not typed here)
    """Return texts as numbers where each is one beside `unit`, else the texts as they stand beside the numbers."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values
    seconds = CLOCKS.get(unit)
    known = {
        each: clock(each, seconds) if seconds else amount(each, unit, text)
        for each in pd.unique(values.dropna())
        if isinstance(each, str)
    }
    if all(number is not None for number in known.values()):
        return values.map(known, na_action="ignore").astype("float64")
    return values.astype(object).map(lambda each: each if known.get(each) is None else known[each], na_action="ignore")


def clock(written: str, parts: tuple[int, ...]) -> float | None:
    """Return 11:38:36 in seconds, where it has as many parts as there are `parts`; None where it is no such time."""
    found = _CLOCK.fullmatch(written.strip())
    if found is None:
        return None
    minus, days, *digits, half = found.groups()
    given = [float(each) for each in digits if each is not None]
    if len(given) != len(parts):
        return None
    if half is not None:
        if not 1 <= given[0] <= 12:  # noqa: PLR2004 (hours before and after noon)
            return None
        given[0] = given[0] % 12 + (12 if half in "Pp" else 0)
    total = sum(each * size for each, size in zip(given, parts, strict=True)) + 86_400 * float(days or 0)
    return -total if minus else total


def amount(written: str, unit: str, text: TextSpec) -> float | None:
    """Return $1,234.50, 12 % or ($5) as a number; None where it is none, or stands beside something else."""
    plain = written.translate(_MINUSES).strip()
    sign = ""
    if plain.startswith("(") and plain.endswith(")"):  # what a bookkeeper owes
        plain, sign = plain[1:-1], "-"
    if ZERO.fullmatch(plain):  # in every unit the same
        return 0.0
    bare = _beside(plain, unit)
    if bare is None:
        return None
    if text.thousands:
        bare = bare.replace(text.thousands.translate(_MINUSES), "")
    try:
        return float(sign + bare.replace(text.decimal, "."))
    except ValueError:
        return None


def _beside(plain: str, unit: str) -> str | None:
    """Return what stands beside a unit, before or after which a sign may be; None where the unit is not there."""
    minus = "-" if plain.startswith("-") else ""
    rest = plain.lstrip("+-").strip()
    if rest.startswith(unit):
        rest = rest.removeprefix(unit)
    elif rest.endswith(unit):
        rest = rest.removesuffix(unit)
    else:
        return None
    rest = rest.strip()
    return minus + rest if re.match(r"[\d.,-]", rest) else None
