"""Names and values of a table as Python and YAML write them, laid out as ruff's formatter leaves them."""

import builtins
import json
import keyword
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

WIDTH: Final = 120  # of a line, as in the generated pyproject.toml
INDENT: Final = "    "

# What a pandera model has of its own, what the schema's module imports, and letters that look like digits.
_TAKEN: Final = frozenset(
    {"Config", "build_schema_", "empty", "example", "get_metadata", "mro", "pa", "pd", "pydantic_validate", "self"}
    | {"Series", "cls", "register", "strategy", "to_json_schema", "to_schema", "to_structlog", "to_yaml", "validate"}
    | {"l", "I", "O"}
)
_LONGEST: Final = 60  # characters of an attribute: with its type it fits on a line
_YAML_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_YAML_PLAIN: Final = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_ .-]*[A-Za-z0-9_])?")


def attributes(names: Iterable[str]) -> dict[str, str]:
    """Return column → attribute of a class: the name itself where Python takes it for one, else one like it.

    Attributes are distinct, ASCII, in lower case (or all in upper), and no word that means something else.
    """
    found: dict[str, str] = {}
    names = list(names)
    taken = {name for name in names if _is_attribute(name)}
    for name in names:
        attribute = name
        if not _is_attribute(name):
            attribute = _free(_like(name), taken)
            taken.add(attribute)
        found[name] = attribute
    return found


def _is_attribute(name: str) -> bool:
    plain = re.fullmatch(r"[a-z][a-z0-9_]*|[A-Z][A-Z0-9_]*", name) is not None
    return plain and len(name) <= _LONGEST and not _is_taken(name)


def _is_taken(name: str) -> bool:
    return keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name) or name in _TAKEN


def _like(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("ß", "ss"))
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST]
    return words if words[:1].isalpha() else f"column_{words}".rstrip("_")


def _free(wanted: str, taken: set[str]) -> str:
    if _is_taken(wanted):
        wanted = f"{wanted}_"
    if wanted not in taken:
        return wanted
    return next(name for number in range(2, len(taken) + 3) if (name := f"{wanted.rstrip('_')}_{number}") not in taken)


def class_name(words: str) -> str:
    """Return `late-flights` as `LateFlights`."""
    found = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", words) if word)
    return found if found[:1].isalpha() and not _is_taken(found) else f"Table{found}"


def python_text(text: str) -> str:
    """Return a string as a literal: in double quotes unless single ones need fewer backslashes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    parts = (_escaped(letter, quote) for letter in text)
    return f"{quote}{''.join(parts)}{quote}"


def _escaped(letter: str, quote: str) -> str:
    if letter in {"\\", quote}:
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 2**8 else f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def python_number(value: float) -> str:
    """Return a number in its shortest form: `3`, `0.1`, `1e-07`, `3e18`."""
    if float(value).is_integer() and abs(value) < 1e15:  # noqa: PLR2004 (below it every whole number is written out)
        return str(int(value))
    return repr(float(value)).replace("e+", "e")  # as ruff writes it


def yaml_scalar(value: object) -> str:
    """Return a value as YAML, in quotes where it would else be read as something other, also inside `[…]` and `{…}`."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _YAML_PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def width(text: str) -> int:
    """Return the columns that a text takes, East Asian letters two: never less than ruff counts."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WFA" else 1 for letter in text)


def one_line(text: str, most: int = 60) -> str:
    """Return a text that can stand in a comment: printable, and at most so many characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def comment(words: str, indent: str = "") -> list[str]:
    """Return words as lines of a comment, folded."""
    lines, line = [], ""
    for word in words.split():
        longer = f"{line} {word}" if line else word
        if line and width(f"{indent}# {longer}") > WIDTH - 1:
            lines.append(f"{indent}# {line}")
            longer = word
        line = longer
    return [*lines, f"{indent}# {line}"]
