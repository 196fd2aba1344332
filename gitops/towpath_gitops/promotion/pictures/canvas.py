"""Small SVG files: shapes and words on a card that is readable on light and on dark pages.

The same calls give the same bytes: numbers have a fixed number of digits, nothing is measured and nothing is dated.
Colours are classes of one style sheet inside the file, which a page cannot change and which knows both schemes.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

Anchor = Literal["start", "middle", "end"]

WIDTH: Final = 760
LETTER: Final = 7.0  # mean width of a letter at the size of ordinary words, in pixels
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'Noto Sans', sans-serif"
_STYLE: Final = """
.card{fill:#fbfcfd;stroke:#d5dde5}
text{fill:#1c2b39;font-size:13px}
.quiet{fill:#5b6b7a;font-size:12px}
.head{font-size:15px;font-weight:600}
.strong{font-weight:600}
.axis{stroke:#8797a6;stroke-width:1}
.whisker{stroke:#33475a;stroke-width:1.25}
.grid{stroke:#e4e9ee;stroke-width:1}
.limit{stroke:#8a5a00;stroke-width:1.5;stroke-dasharray:4 3}
.good{fill:#0b6bb5;stroke:#0b6bb5}
.bad{fill:#b4421a;stroke:#b4421a}
.open{fill:#fbfcfd;stroke:#5b6b7a}
.old{fill:#fbfcfd;stroke:#6b7a89}
.bar{fill:#7fb2dc}
.worst{fill:#e2926f}
.line{fill:none;stroke-width:2}
.dashed{stroke-dasharray:6 4}
@media (prefers-color-scheme:dark){
.card{fill:#161c23;stroke:#38434e}
text{fill:#e3e9ef}
.quiet{fill:#a3b1be}
.axis{stroke:#71808f}
.whisker{stroke:#d3dce5}
.grid{stroke:#29323b}
.limit{stroke:#e0ab4c}
.good{fill:#62b0f0;stroke:#62b0f0}
.bad{fill:#f08a63;stroke:#f08a63}
.open{fill:#161c23;stroke:#a3b1be}
.old{fill:#161c23;stroke:#97a6b4}
.bar{fill:#2f6ea3}
.worst{fill:#a9532f}
.line{fill:none}
}
"""
# What XML 1.0 cannot hold, and the marks that make text read in another order than it is written.
_UNFIT: Final = re.compile(
    "[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_NARROWEST: Final = 1e-12  # of the values themselves: floats hold no finer steps
_SMALLEST: Final = 1e-100


class Canvas:
    """One picture under construction. Lengths are pixels from the top left corner."""

    def __init__(self, title: str, description: str, height: float) -> None:
        """Begin a card of the common width, with a title and a description that screen readers say."""
        self._root = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {number(height)}",
                "width": str(WIDTH),
                "height": number(height),
                "font-family": _FONT,
                "role": "img",
                "aria-labelledby": "title description",
            },
        )
        SubElement(self._root, "title", {"id": "title"}).text = clean(title)
        SubElement(self._root, "desc", {"id": "description"}).text = clean(description)
        SubElement(self._root, "style").text = _STYLE
        edge = {"x": "0.5", "y": "0.5", "width": str(WIDTH - 1), "height": number(height - 1), "rx": "10"}
        SubElement(self._root, "rect", {"class": "card", **edge})

    def words(  # noqa: PLR0913 (a place, a look, and what it says)
        self, x: float, y: float, text: str, look: str = "", *, anchor: Anchor = "start", whole: str | None = None
    ) -> None:
        """Write words whose baseline is at `y`; `whole` is shown on hovering where the words are shortened."""
        attributes = {"x": number(x), "y": number(y), "text-anchor": anchor} | ({"class": look} if look else {})
        written = SubElement(self._root, "text", attributes)
        written.text = clean(text)
        if whole is not None and clean(whole) != written.text:
            SubElement(written, "title").text = clean(whole)

    def line(self, start: tuple[float, float], end: tuple[float, float], look: str) -> None:
        """Draw a straight line."""
        ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
        self._shape("line", look, ends)

    def path(self, points: Sequence[tuple[float, float]], look: str) -> None:
        """Draw a line through points."""
        SubElement(
            self._root,
            "polyline",
            {"class": look, "points": " ".join(f"{number(x)},{number(y)}" for x, y in points)},
        )

    def bar(self, corner: tuple[float, float], width: float, height: float, look: str) -> None:
        """Draw a filled rectangle from its top left corner."""
        self._shape("rect", look, {"x": corner[0], "y": corner[1], "width": width, "height": height})

    def dot(self, x: float, y: float, look: str, *, radius: float = 4.5) -> None:
        """Draw a filled circle."""
        self._shape("circle", look, {"cx": x, "cy": y, "r": radius})

    def square(self, x: float, y: float, look: str, *, radius: float = 4.5) -> None:
        """Draw a filled square around a point."""
        self.bar((x - radius, y - radius), 2 * radius, 2 * radius, look)

    def _shape(self, tag: str, look: str, places: dict[str, float]) -> None:
        SubElement(self._root, tag, {"class": look} | {name: number(value) for name, value in places.items()})

    def svg(self) -> bytes:
        """Return the file's bytes."""
        indent(self._root, " ")
        return tostring(self._root, encoding="unicode").encode() + b"\n"


def number(value: float) -> str:
    """Write a length: two digits at most, none that say nothing, never minus nought."""
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def clean(text: str) -> str:
    """Return text that any reader of XML takes and that reads as it is written."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def extent(text: str) -> float:
    """Return about how many pixels wide text of the ordinary size is."""
    return sum(map(_width, clean(text)))


def shortened(text: str, width: float) -> str:
    """Return text that fits into `width` pixels, its end replaced by an ellipsis where it does not."""
    whole = clean(text)
    if extent(whole) <= width:
        return whole
    kept, left = "", width - LETTER
    for letter in whole:
        left -= _width(letter)
        if left < 0:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def _width(letter: str) -> float:
    """Return about how wide a letter is: those of East Asia are square, marks that combine take no room."""
    if unicodedata.combining(letter):
        return 0.0
    return 2 * LETTER if unicodedata.east_asian_width(letter) in {"F", "W"} else LETTER


class Scale:
    """A straight axis: values from `low` to `high` lie between the pixels `start` and `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        """Lay the axis; a span of next to nothing is widened, so that every value has a place."""
        size = max(abs(low), abs(high))
        if high - low <= max(size * _NARROWEST, _SMALLEST):
            low, high = low - max(size * 0.1, 0.01), high + max(size * 0.1, 0.01)
        self.low, self.high, self._start, self._end = low, high, start, end

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside lie at the nearer end."""
        inside = min(max(value, self.low), self.high)
        return self._start + (inside - self.low) / (self.high - self.low) * (self._end - self._start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values within the span, at most `most` of them."""
        step = self._step(most)
        first = math.ceil(self.low / step)
        found = ((first + position) * step for position in range(most))
        return [value for value in found if self.low <= value <= self.high]

    def _step(self, most: int) -> float:
        """Return the least of 1, 2 and 5 times a power of ten that cuts the span into fewer than `most` pieces."""
        span = self.high - self.low
        exponent = int(f"{span / most:e}".partition("e")[2])
        steps = [float(f"{digit}e{exponent + up}") for up in (0, 1) for digit in (1, 2, 5)]
        return next(step for step in steps if span / step < most)
