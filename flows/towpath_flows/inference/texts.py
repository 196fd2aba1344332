"""What a column of text really holds: truths, moments, dates in another form, numbers with a stray word, prose."""

import re
from typing import Any, Final

import pandas as pd

LOOKED_AT: Final = 5_000  # different texts that are looked at; more tell nothing new
_MOMENT: Final = re.compile(r"\d{4}-\d\d(?:-\d\d(?:[T ]\d\d:\d\d.*)?)?")
_DATE: Final = re.compile(
    r"(?:\d{4}[/.-]\d{1,2}[/.-]\d{1,2}|\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2}))(?:[ T].*)?"
    r"|\d{4}/(?:0?[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])/\d{4}"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?[ -]\d{4}"
    r"|(?:\w{3,9},? )?\d{1,2}\.?[ -](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\.?,?[ -]\d{2,4}.*"
    r"|(?:\w{3,9},? )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*\.? \d{1,2}(?:st|nd|rd|th)?,? \d{2,4}.*",
    re.IGNORECASE,
)
NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_MEASURE: Final = re.compile(
    r"\(?[+-]?(?:[A-Z]{0,3}[$€£¥₹]|[A-Z]{3} )\s?[+-]?\d[\d.,' ]*\)?"
    r"|[+-]?\d[\d.,' ]*\s?(?:%|‰|°[CF]?|[$€£¥₹]|[A-Za-zµ²³/]{1,6})"
)
_ODD_NUMBER: Final = re.compile(r"\(\s*\d[\d.,]*\s*\)|\d[\d.,]*\s?-|[\u2212\u2013]\s?\d[\d.,]*")
AMOUNT: Final = re.compile(r"\(?[+-]?(?:[A-Z]{0,3}[$€£¥₹]\s?[+-]?\d[\d.,' ]*|\d[\d.,' ]*\s?[%‰$€£¥₹])\)?")
TIME: Final = re.compile(r"(?:\d+ days? )?\d{1,3}:[0-5]\d(?::[0-5]\d(?:\.\d+)?)?\s*(?:[ap]\.?m\.?)?", re.IGNORECASE)
_NEARLY_ALL: Final = 0.95
_MOSTLY: Final = 0.8
_PROSE_WORDS: Final = 5  # on average: more than a name has

Series = Any  # pandas is not typed here


def some(texts: Series) -> list[str]:
    """Return the different texts of a column, or many of them."""
    different = pd.unique(texts)
    step = max(1, len(different) // LOOKED_AT)
    return [str(text) for text in different[::step]]


def are_truths(texts: list[str]) -> bool:
    """Whether they say true and false, in a spelling that the contract reads."""
    return bool(texts) and set(texts) <= {"true", "false", "True", "False", "TRUE", "FALSE"}


def are_moments(texts: list[str], values: Series) -> bool:
    """Whether all of them are moments of ISO 8601, also months as 2026-01, but no seasons as 2025-26."""
    if not texts or not all(_MOMENT.fullmatch(text) for text in texts) or all(map(_is_season, texts)):
        return False
    return bool(pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601").notna().all())


def no_moment(texts: list[str]) -> str | None:
    """Return the first that is written as a moment of ISO 8601 and is none, as 0000-00-00, where all are written so."""
    if not all(_MOMENT.fullmatch(text) for text in texts):
        return None
    found = pd.to_datetime(pd.Series(texts, dtype="str"), utc=True, errors="coerce", format="ISO8601")
    return next((text for text, is_none in zip(texts, found.isna(), strict=True) if is_none), None)


def _is_season(text: str) -> bool:
    return len(text) == len("2025-26") and int(text[5:]) == (int(text[:4]) + 1) % 100


def look_like_dates(texts: list[str]) -> bool:
    """Whether nearly all are dates of another form: 31.12.2026, 12/31/26, Dec 31, 2026."""
    return _share(texts, _DATE) >= _NEARLY_ALL


def stray_words(texts: list[str], pattern: re.Pattern[str] = NUMBER) -> list[str]:
    """Return what is no number (or no other thing of a pattern) in a column of which most are; else nothing."""
    words = [text for text in texts if not pattern.fullmatch(text.strip())]
    numbers = len(texts) - len(words)
    return words if words and numbers >= 3 and numbers / len(texts) >= _MOSTLY else []  # noqa: PLR2004 (a column of two numbers is no column of numbers)


def are_odd_numbers(texts: list[str]) -> bool:
    """Whether all are numbers, but some of them as bookkeepers or typesetters write what is below zero."""
    odd = [text for text in texts if not NUMBER.fullmatch(text)]
    return bool(odd) and all(_ODD_NUMBER.fullmatch(text.strip()) for text in odd)


def are_times(texts: list[str]) -> bool:
    """Whether all are times of day or durations, as 11:38:36."""
    return bool(texts) and all(TIME.fullmatch(text.strip()) for text in texts)


def are_measures(texts: list[str]) -> bool:
    """Whether nearly all are numbers with a percent sign, a currency or one unit: 12.5%, $1,200, 80 kg."""
    return _share(texts, _MEASURE) >= _NEARLY_ALL and len({re.sub(r"[\d.,' +()-]", "", text) for text in texts}) == 1


def are_prose(texts: list[str]) -> bool:
    """Whether they are sentences rather than names."""
    return bool(texts) and sum(len(text.split()) for text in texts) / len(texts) >= _PROSE_WORDS


def _share(texts: list[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(text.strip()) is not None for text in texts) / max(1, len(texts))
