"""Words of people and programs inside Markdown, where they must stay words."""

import html
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

# An underscore inside a word, as in `roc_auc`, marks nothing up and may stay readable. The colon of an address and the
# point after `www` make forges link to it.
_SPECIAL: Final = re.compile(r"([\\`*\[\]#|~$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.)", re.IGNORECASE)
# Forges look for people and issues in what readers will see, so that another spelling of the sign does not help: a
# space of no width after it does.
_NAMING: Final = re.compile(r"(?<!\w)@(?=\w)|#(?=\d)")
_NO_WIDTH: Final = "\N{ZERO WIDTH SPACE}"
# An address that is nothing but one: no space, quote, bracket or sign that would end the link and begin something else.
_ADDRESS: Final = re.compile(
    r"(https?://[A-Za-z0-9][A-Za-z0-9.:\[\]-]*(/[A-Za-z0-9._~!&'*+,;=:@%/?#-]*)?|[A-Za-z0-9][A-Za-z0-9._/-]*)"
)


def text(words: str) -> str:
    """Return words for a paragraph or a list item: no markup, no HTML, no mention, on one line."""
    line = _NAMING.sub(lambda match: match[0] + _NO_WIDTH, " ".join(words.split()))
    return _SPECIAL.sub(_entity, html.escape(line, quote=False))


def _entity(match: re.Match[str]) -> str:
    """Write a character by its number: unlike a backslash, that also holds inside tables and against mentions."""
    return f"&#{ord(match[1])};"


def code(words: str) -> str:
    """Return a name or digest as code; signs that would end it are left out."""
    return f"`{re.sub(r'[^A-Za-z0-9 ._:/@+=-]', '', words) or '–'}`"  # noqa: RUF001 (a dash)


def heading(words: str, level: int = 2) -> str:
    """Return a heading."""
    return f"{'#' * level} {text(words)}"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of lines that are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def link(words: str, to: str) -> str:
    """Return a link; what is not an address, as a command, stands beside the words as code."""
    return f"[{text(words)}]({to})" if _is_address(to) else f"{text(words)}: {code(to)}"


def image(words: str, to: str) -> str:
    """Return an image with what it shows in words."""
    return f"![{text(words)}]({to})" if _is_address(to) else text(words)


def _is_address(to: str) -> bool:
    return _ADDRESS.fullmatch(to) is not None


def folded(title: str, body: str) -> str:
    """Return Markdown that is shown when a reader opens it."""
    return f"<details><summary>{text(title)}</summary>\n\n{body}\n\n</details>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return a table; columns that are empty in every row are left out, those in `right` hold numbers."""
    kept = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    lines = [[text(heads[column]) for column in kept], ["---:" if column in right else "---" for column in kept]]
    lines += [[text(row[column]) for column in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
