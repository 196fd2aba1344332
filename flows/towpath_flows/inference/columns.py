"""What each column of an owner's table holds: its type, what is missing, its range, its categories."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_bento.limits import EXACT_INTEGER, FLOAT32_MAX, MAX_TEXT, wrong_with_name
from towpath_flows.data.coercion import Kind
from towpath_flows.inference import texts
from towpath_flows.inference.naming import one_line

MOST_CATEGORIES: Final = 12  # of a closed list
FEWEST_EACH: Final = 5  # rows of a category that has shown itself
LONGEST_CATEGORY: Final = 60  # characters
MANY: Final = 40  # different texts from which a column may be a name for each row
ID_WORDS: Final = re.compile(
    r"(?:^|[_\s.-])(?:id|ids|uuid|guid|key|pk|rownames?|row|index|idx|nr|no|number)$|^unnamed: \d+$"
)
TIME_WORDS: Final = re.compile(r"time|date|epoch|stamp|(?:^|_)ts$|_at$|created|updated|moment|^when$")
_LEARNED: Final = 0.8  # of the rows, usually, are not kept for the test
_GROUPED: Final = 0.45  # different texts for each row; from a half on a check of the features refuses them
_EPOCHS: Final = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_EPOCH_RANGE: Final = (3.15e8, 4.1e9)  # seconds since 1970: from 1980 to 2099
_STRETCH: Final = 2  # how many times the spread that was seen may lie beyond it

Series = Any  # pandas is not typed here


@dataclass(frozen=True)
class Column:
    """One column. `aside` says why the model may not see it, `lost` why even the schema leaves it out."""

    name: str
    kind: Kind
    rows: int
    missing: int = 0
    distinct: int = 0
    range: tuple[float, float] | None = None
    categories: tuple[str, ...] | None = None
    counts_rows: bool = False
    aside: str = ""
    lost: str = ""
    remarks: tuple[str, ...] = field(default=())

    @property
    def nullable(self) -> bool:
        """Whether a value was missing."""
        return self.missing > 0

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return not self.missing and self.distinct == self.rows

    @property
    def is_named_as_id(self) -> bool:
        """Whether the name says that it names something."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        return ID_WORDS.search(words) is not None

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """A range that lets in what may come and keeps out a wrong unit or a slipped decimal point.

        It reaches beyond what was seen by twice its spread, but not through zero.
        """
        if self.range is None or self.range[0] == self.range[1]:
            return None, None
        low, high = self.range
        if self.kind == "integer" and (low, high) == (0, 1):
            return 0.0, 1.0
        reach = _STRETCH * (high - low)
        widest = EXACT_INTEGER if self.kind == "integer" else FLOAT32_MAX
        least = 0.0 if low >= 0 else -outward(reach - low)
        most = 0.0 if high <= 0 else outward(high + reach)
        return least if least >= -widest else None, most if most <= widest else None


def outward(value: float) -> float:
    """Return the next of 1, 2, 3, 5 times a power of ten that is not below a positive value."""
    power = 10.0 ** math.floor(math.log10(value)) if 0 < value < math.inf else 0.0
    if not power:
        return value
    found = next(step for step in (1, 2, 3, 5, 10, 20) if step * power >= value)
    return float(f"{found * power:.6g}")


def examine(name: str, values: Series, spelled: Series | None = None) -> Column:
    """Return what a column holds; `spelled` is the same column as text, where the file is text."""
    wrong = wrong_with_name(name)
    if wrong:
        return Column(str(name), "other", len(values), lost=f"{wrong}: rename it")
    values = _without_categories(values)
    known = values.dropna()
    base = Column(name, "number", len(values), len(values) - len(known))
    if known.empty:
        return _with(base, aside="it has no value in any row")
    inferred = pd.api.types.infer_dtype(known, skipna=True)
    found = _FINDERS.get(inferred, _unusable)(base, known, spelled)
    if not found.lost and not found.aside and found.distinct == 1 and not found.missing:
        return _with(found, aside="it has the same value in every row", remarks=())
    return found


def _with(column: Column, **changes: Any) -> Column:  # noqa: ANN401 (values of any field)
    return Column(**(column.__dict__ | changes))


def _without_categories(values: Series) -> Series:
    return values.astype(values.cat.categories.dtype) if isinstance(values.dtype, pd.CategoricalDtype) else values


def _truth(base: Column, known: Series, _: Series | None) -> Column:
    return _with(base, kind="boolean", distinct=int(known.nunique()))


def _moment(base: Column, known: Series, _: Series | None) -> Column:
    why = "a moment is no number: derive what matters (hour, weekday, age) in the data"
    return _with(base, kind="moment", distinct=int(pd.Series(known).nunique()), aside=why)


def _number(base: Column, known: Series, spelled: Series | None) -> Column:
    numbers = pd.to_numeric(known).to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all():
        return _with(base, lost="it holds infinities, which are no numbers to learn from: write them as missing")
    codes = None if spelled is None else _codes(base, spelled)
    if codes is not None:
        return codes
    whole = bool((numbers == np.floor(numbers)).all())
    low, high = float(numbers.min()), float(numbers.max())
    base = _with(base, distinct=int(known.nunique()), range=(low, high))
    if max(-low, high) > FLOAT32_MAX:
        return _with(base, aside="its values leave the range of float32, the type that is served: scale them")
    if not np.float32(numbers).any() and (low, high) != (0, 0):
        return _with(
            base, aside="its values are so small that float32, the type that is served, makes them 0: scale them"
        )
    if not whole or not _are_integers(known, base, spelled):
        return _in_time(base, numbers) or base
    steps = bool(len(numbers) == base.rows > 1 and (np.abs(np.diff(numbers)) == 1).all() and base.unique)
    base = _with(base, kind="integer", counts_rows=steps)
    return _in_time(base, numbers) or _years(base) or _exact(base)


def _are_integers(known: Series, base: Column, spelled: Series | None) -> bool:
    """Whole numbers that are written as such; a file of text with gaps makes floats of them."""
    if known.dtype == object or pd.api.types.is_integer_dtype(known.dtype):
        return True
    return bool(base.missing and spelled is not None and not spelled.dropna().str.contains(".", regex=False).any())


def _codes(base: Column, spelled: Series) -> Column | None:
    """Return digits that begin with a zero as the text that they are: 00501, 007."""
    found = spelled.dropna()
    if not (found.str.fullmatch(r"0\d+").any() and found.str.fullmatch(r"\d+").all()):
        return None
    return _text(_with(base, remarks=("digits that begin with 0 are kept as text",)), found, None)


def _exact(base: Column) -> Column:
    """Return whole numbers beyond 2^24, which float32 rounds, as numbers that may be rounded."""
    if base.range is None or max(-base.range[0], base.range[1]) <= EXACT_INTEGER:
        return base
    remark = "whole numbers beyond 2^24 are rounded by float32, the type that is served; `int` would refuse them"
    return _with(base, kind="number", remarks=(remark,))


def _in_time(base: Column, numbers: Series) -> Column | None:
    """Return numbers that are moments in disguise, set aside; None for all others."""
    low, high = base.range or (0.0, 0.0)
    if TIME_WORDS.search(base.name.lower()):
        for unit, size in _EPOCHS.items():
            if _EPOCH_RANGE[0] * size <= low and high <= _EPOCH_RANGE[1] * size:
                why = f"it looks like {unit} since 1970: write it as ISO 8601, and it can be the `time`"
                return _with(base, kind="number", aside=why, remarks=(why,))
    if low >= 19_000_101 and high <= 21_001_231 and _are_days(numbers):  # noqa: PLR2004 (YYYYMMDD)
        why = "it looks like days written as YYYYMMDD: write them as ISO 8601, and they can be the `time`"
        return _with(base, kind="number", aside=why, remarks=(why,))
    return None


def _years(base: Column) -> Column | None:
    low, high = base.range or (0.0, 0.0)
    if "year" not in base.name.lower() or not 1500 <= low <= high <= 2200:  # noqa: PLR2004 (years)
        return None
    remark = "years are numbers here; written as 2026-01-01 they can be the `time`"
    return _with(base, counts_rows=False, remarks=(remark,))


def _are_days(numbers: Series) -> bool:
    days = pd.Series(np.unique(numbers)[: texts.LOOKED_AT].astype(np.int64).astype(str))
    return bool(pd.to_datetime(days, format="%Y%m%d", errors="coerce").notna().all())


def _text(base: Column, known: Series, _: Series | None) -> Column:
    shown, distinct = texts.some(known), int(known.nunique())
    base = _with(base, kind="string", distinct=distinct)
    if texts.are_truths(shown):
        return _with(base, kind="boolean")
    if texts.are_moments(shown, known):
        return _moment(base, known, None)
    if texts.look_like_dates(shown):
        why = f"it looks like dates{_shown_dates(shown)}"
        return _with(base, aside=why, remarks=(why,))
    if texts.are_measures(shown):
        why = f"numbers with a sign or unit, such as {one_line(shown[0], 30)}, are words here: write the number alone"
        base = _with(base, remarks=(*base.remarks, why))
    if max(map(len, shown)) > MAX_TEXT:
        return _with(base, aside=f"it holds texts of over {MAX_TEXT:,} characters, which the service refuses")
    base = _with(base, remarks=(*base.remarks, *_nearly_numbers(shown)))
    if distinct > MANY and _are_names(known):
        what = "prose: derive numbers or categories from it" if texts.are_prose(shown) else "nearly a name for each row"
        return _with(base, aside=f"it is {what}")
    return _categorised(base, known, shown)


def _shown_dates(shown: list[str]) -> str:
    """Return what is wrong with dates, by an example: one is none, they are of several forms, or of another."""
    none = texts.no_moment(shown)
    if none:
        return f", but {one_line(none, 30)} is none: write nothing where there is no date"
    forms = {re.sub(r"\d{1,2}(?!\d)", "1", re.sub(r"\d{3,}|[A-Za-z]+", "A", text)): text for text in shown}
    first, *others = (one_line(text, 30) for text in list(forms.values())[:2])
    said = f" of several forms, such as {first} and {others[0]}" if others else f", such as {first}"
    return f"{said}: write them as ISO 8601 (2026-01-31)"


def _nearly_numbers(shown: list[str]) -> Iterator[str]:
    """Say what keeps a column of text from being one of numbers, or of times."""
    if texts.are_odd_numbers(shown):
        odd = next(text for text in shown if not texts.NUMBER.fullmatch(text))
        yield f"numbers written as {one_line(odd, 20)} are words here: write -12 or 12"
    for what, pattern in (("numbers", texts.NUMBER), ("amounts", texts.AMOUNT), ("times", texts.TIME)):
        stray = [] if texts.are_odd_numbers(shown) else texts.stray_words(shown, pattern)
        if stray:
            words = ", ".join(one_line(word, 20) for word in stray[:3])
            yield f"most of its values are {what}, but not {words}: where that means missing, write nothing instead"
    if texts.are_times(shown):
        yield f"times, such as {one_line(shown[0], 20)}, are words here: write them as a number, such as seconds"


def _are_names(known: Series) -> bool:
    """Whether they group rows no more, also among fewer rows: what training sees, of which a check says the same."""
    if int(known.nunique()) > len(known) / 2:
        return True
    some = known.sample(frac=_LEARNED, random_state=0)
    return bool(some.nunique() > _GROUPED * len(some))


def _categorised(base: Column, known: Series, shown: list[str]) -> Column:
    if texts.stray_words(shown):
        return base
    counts = known.value_counts()
    closed = len(counts) <= MOST_CATEGORIES and counts.min() >= FEWEST_EACH
    if closed and all(0 < len(text) <= LONGEST_CATEGORY for text in shown):
        return _with(base, categories=tuple(sorted(map(str, counts.index))))
    if base.distinct > MANY:
        remark = f"{base.distinct:,} different texts: each becomes a number in the order of the alphabet"
        return _with(base, remarks=(*base.remarks, remark))
    return base


def _unusable(base: Column, known: Series, _: Series | None) -> Column:
    first = known.iloc[0]
    kinds = sorted({type(value).__name__ for value in known.iloc[: texts.LOOKED_AT]})
    if isinstance(first, list | dict | tuple | np.ndarray):
        what = "dicts" if isinstance(first, dict) else "lists"
        return _with(base, kind="other", lost=f"it holds {what}: make columns of their parts")
    if kinds in (["time"], ["timedelta"], ["Timedelta"], ["timedelta64"]):
        what = "times of day" if kinds == ["time"] else "durations"
        return _with(base, kind="other", lost=f"it holds {what}: write them as numbers, such as seconds")
    what = f"values of several types ({', '.join(kinds)})" if len(kinds) > 1 else f"values of type {kinds[0]}"
    return _with(base, kind="other", lost=f"it holds {what}: write numbers, truths, text or moments, of one kind")


_FINDERS: Final = {
    "boolean": _truth,
    "integer": _number,
    "floating": _number,
    "mixed-integer-float": _number,
    "decimal": _number,
    "date": _moment,
    "datetime": _moment,
    "datetime64": _moment,
    "string": _text,
}
