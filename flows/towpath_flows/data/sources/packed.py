"""Files that may be packed by gzip: what they hold, by their names, and how they are opened like any other."""

import gzip
from pathlib import Path, PurePath
from typing import IO, Final

PACKED: Final = ".gz"


def form(path: PurePath) -> str:
    """Return the ending that says what a file holds: `.csv` of `a.csv` and of `a.csv.gz`."""
    return PurePath(path.stem).suffix if path.suffix == PACKED else path.suffix


def ending(path: PurePath) -> str:
    """Return all of the ending that matters: `.csv.gz` of `a.b.csv.gz`."""
    return form(path) + (PACKED if path.suffix == PACKED else "")


def open_text(path: Path, encoding: str, newline: str | None = None) -> IO[str]:
    """Open a file of text, packed or not."""
    if path.suffix == PACKED:
        return gzip.open(path, "rt", encoding=encoding, newline=newline)
    return path.open(encoding=encoding, newline=newline)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file of bytes, packed or not."""
    return gzip.open(path, "rb") if path.suffix == PACKED else path.open("rb")  # type: ignore[return-value]  # it reads alike
