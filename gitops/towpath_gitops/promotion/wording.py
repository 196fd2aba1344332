"""How figures are written for people: few digits, a unit, and the same in tables, sentences and pictures."""

from collections.abc import Sequence
from typing import Final

from towpath_gitops.records.figures import Price, Segment, Window

MINUS: Final = "\N{MINUS SIGN}"
_LARGE, _SMALL = 1e6, 1e-4


def figure(value: float) -> str:
    """Write a number with about four digits that count."""
    size = abs(value)
    if not size:
        return "0"
    if size >= _LARGE or size < _SMALL:
        written = f"{size:.3g}"
    elif size >= 1000:  # noqa: PLR2004 (from here on, thousands are set apart)
        written = f"{size:,.0f}"
    else:
        written = f"{size:.4g}" if size >= 1 else f"{size:.4f}"
    return f"{MINUS if value < 0 else ''}{written}"


def signed(value: float) -> str:
    """Write a difference, with its sign also where it is positive."""
    return figure(value) if value < 0 else f"+{figure(value)}"


def tick(value: float) -> str:
    """Write a round number beside an axis."""
    return f"{MINUS if value < 0 else ''}{abs(value):.6g}"


def between(interval: Sequence[float] | None, *, sign: bool = False) -> str:
    """Write the ends of an interval; nothing where there is none."""
    write = signed if sign else figure
    return "" if interval is None else f"{write(interval[0])} to {write(interval[1])}"


def percent(share: float) -> str:
    """Write a share."""
    return f"{share:.1%}"


def count(number: int, what: str = "", plural: str | None = None) -> str:
    """Write a number of things: `1 row`, `1,234 rows`."""
    noun = what if number == 1 else plural or f"{what}s"
    return f"{number:,} {noun}" if what else f"{number:,}"


def size(number: int) -> str:
    """Write a number of bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number} bytes"


def duration(milliseconds: float) -> str:
    """Write a short time."""
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    return f"{milliseconds:.2f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"  # noqa: PLR2004 (a second)


def money(price: Price, amount: float) -> str:
    """Write an amount in the price's currency."""
    return f"{figure(amount)} {price.currency}" if amount >= _SMALL else f"under {_SMALL} {price.currency}"


def period(window: Window | None) -> str:
    """Write from when until when rows are; nothing where it is not known."""
    if window is None or not any(window):
        return ""
    first, last = ((end or "…")[:10] for end in window)
    return first if first == last else f"{first} to {last}"


def place(segment: Segment) -> str:
    """Name a segment: `carrier = UA`, `distance > 800`."""
    return f"{segment.column} {related(segment.value)}"


def related(value: str) -> str:
    """Write what makes rows a segment, behind the column's name; the ends of a number's range say so themselves."""
    return value if value.startswith(("≤ ", "> ")) else f"= {value}"
