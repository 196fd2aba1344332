"""CODEOWNERS: whose approval counts for which file.

The syntax is GitHub's: one pattern and its owners on a line, `#` starts a comment, the last line that matches wins,
and a line without owners takes the ownership away. Owners are email addresses, `@handle` or `@organisation/team`.
"""

import re
from collections.abc import Iterator

_OWNER = re.compile(r"@[\w./-]+|[^@\s]+@[^@\s]+")


def owners_of(text: str, path: str) -> tuple[str, ...]:
    """Return the owners of the file `path` (from the repository's root), in lower case; none when no line matches.

    What is not an owner on the line that wins is dropped, so that a mistake there locks a file rather than opens it.
    """
    owners: tuple[str, ...] = ()
    for pattern, found in _rules(text):
        if pattern.fullmatch(path):
            owners = found
    return owners


def _rules(text: str) -> Iterator[tuple[re.Pattern[str], tuple[str, ...]]]:
    for line in text.splitlines():
        words = re.findall(r"(?:\\.|[^\s\\])+", re.sub(r"(^|\s)#.*", "", line))
        if words:
            yield _pattern(words[0]), tuple(word.lower() for word in words[1:] if _OWNER.fullmatch(word))


def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a pattern; one with a slash before its end starts at the root, another matches at any depth."""
    start = "" if "/" in glob.rstrip("/") else "(?:.*/)?"
    end = "(?:/.*)?"
    if glob.endswith(("/", "/*")):  # `docs/*` is the files of docs, not those of its folders
        end = "/.*" if glob.endswith("/") else ""
    pieces = re.findall(r"\*\*/|/\*\*|\*\*|\*|\?|\\.|.", glob.strip("/"))
    return re.compile(start + "".join(map(_piece, pieces)) + end)


def _piece(piece: str) -> str:
    wild = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return wild.get(piece) or re.escape(piece.removeprefix("\\"))
