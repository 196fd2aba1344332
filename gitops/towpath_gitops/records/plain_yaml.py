"""A fast reader for the plainest YAML: the form in which environment files are written, and nothing else.

Reading round trip costs ten milliseconds a file. Whatever this reader is not certain of, it leaves to the other one: it
knows no anchor, tag, escape, multi-line text, date or unusual number. What it does answer is what the other would.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

_LINE: Final = re.compile(r"( *)(?:(- )|([A-Za-z][A-Za-z0-9_]*):(?: (?! )|$|(?= +#)))(.+?)?(?: +#[ -~]*)?")
_PRINTABLE: Final = re.compile(r"[ -~\n]*")
_INDENT: Final = 2
_DEEPEST: Final = 6
# Words that some version of YAML takes for something else than text.
_SPECIAL: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_CONSTANTS: Final[dict[str, bool | None]] = {"null": None, "true": True, "false": False}
_WORDS: Final = re.compile(r"[A-Za-z][\w./@+()-]*(?:,? [\w./@+()-]+)*", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z][\w./@+-]*", re.ASCII)
# Certain to be text although they begin with a digit: digests, versions, durations, and commits, which have a letter
# that no number has.
_TEXT: Final = re.compile(
    r"sha256:[0-9a-f]{64}|\d+\.\d+\.\d+|\d+(?:ms|s|m|h|d)|(?!0b)(?=[0-9a-f]*[abcdf])[0-9a-f]{40}", re.ASCII
)
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"\\]*)\"")
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_FLOAT: Final = re.compile(r"(?:0|[1-9][0-9]{0,9})\.[0-9]{1,15}")
_PAIR: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*): (.+)")

_Found = TypeVar("_Found")


class _UncertainError(Exception):
    """This is for the other reader."""


@dataclass(frozen=True)
class _Row:
    indent: int
    item: bool  # of a list
    key: str | None
    value: str | None


def read_plain(text: str) -> dict[str, Any] | None:
    """Return the mapping in `text` when it is certain what it says, else None."""
    if not _PRINTABLE.fullmatch(text):
        return None
    try:
        rows = list(_rows(text))
        document, rest = _block(rows, 0, 0)
        return document if isinstance(document, dict) and rest == len(rows) else None
    except _UncertainError:
        return None


def _rows(text: str) -> Iterator[_Row]:
    for line in text.split("\n"):
        if not line or line.lstrip(" ").startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or line.endswith(" "):
            raise _UncertainError
        indent, item, key, value = match.groups()
        yield _Row(len(indent), item is not None, key, value)


def _block(rows: list[_Row], start: int, indent: int) -> tuple[dict[str, Any] | list[Any], int]:
    """Return the mapping or list that begins in row `start`, and the row after it."""
    if start == len(rows) or rows[start].indent != indent or indent > _INDENT * _DEEPEST:
        raise _UncertainError
    return _list(rows, start, indent) if rows[start].item else _mapping(rows, start, indent)


def _list(rows: list[_Row], start: int, indent: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while start < len(rows) and rows[start].indent == indent:
        row = rows[start]
        if not row.item or row.key is not None or row.value is None:
            raise _UncertainError
        found.append(_scalar(row.value, _WORDS))
        start += 1
    return _ended(found, rows, start, indent)


def _mapping(rows: list[_Row], start: int, indent: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while start < len(rows) and rows[start].indent == indent:
        row = rows[start]
        if row.item or row.key is None:
            raise _UncertainError
        start += 1
        if row.value is None:
            block, start = _block(rows, start, indent + _INDENT)
            _put(found, row.key, block)
        else:
            _put(found, row.key, _value(row.value))
    return _ended(found, rows, start, indent)


def _ended(found: _Found, rows: list[_Row], start: int, indent: int) -> tuple[_Found, int]:
    """Refuse a row that is indented more: it would continue a text, or belongs to nobody."""
    if start < len(rows) and rows[start].indent > indent:
        raise _UncertainError
    return found, start


def _put(found: dict[str, Any], key: str, value: object) -> None:
    if key in found or key.lower() in _SPECIAL:
        raise _UncertainError
    found[key] = value


def _value(text: str) -> object:
    if text[0] == "{" and text[-1] == "}":
        found: dict[str, Any] = {}
        for part in _parts(text):
            match = _PAIR.fullmatch(part)
            if match is None:
                raise _UncertainError
            _put(found, match[1], _scalar(match[2], _WORD))
        return found
    if text[0] == "[" and text[-1] == "]":
        return [_scalar(part, _WORD) for part in _parts(text)]
    return _scalar(text, _WORDS)


def _parts(text: str) -> list[str]:
    """Return what stands between the commas of a collection in one line."""
    if "'" in text or '"' in text:
        raise _UncertainError
    return text[1:-1].split(", ") if text[1:-1] else []


def _scalar(text: str, words: re.Pattern[str]) -> object:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return quoted[1] if quoted[1] is not None else quoted[2]
    if _TEXT.fullmatch(text) or (words.fullmatch(text) and text.lower() not in _SPECIAL):
        return text
    raise _UncertainError
