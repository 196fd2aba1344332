"""Words of people and programs inside Markdown, where they must stay words."""

import html
import re
from collections.abc import Sequence

# An underscore inside a word, as in `roc_auc`, marks nothing up and may stay readable.
_SPECIAL = re.compile(r"([\\`*\[\]#|~$@]|(?<![^\W_])_|_(?![^\W_]))")


def text(words: str) -> str:
    """Return words for a paragraph or a list item: no markup, no HTML, no mention, on one line."""
    line = " ".join(words.split())
    return _SPECIAL.sub(_entity, html.escape(line, quote=False))


def _entity(match: re.Match[str]) -> str:
    """Write a character by its number: unlike a backslash, that also holds inside tables and against mentions."""
    return f"&#{ord(match[1])};"


def cell(words: str) -> str:
    """Return words for a cell of a table."""
    return text(words)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; columns that are empty in every row are left out."""
    kept = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    lines = [[heads[column] for column in kept], ["---"] * len(kept)]
    lines += [[cell(row[column]) for column in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
