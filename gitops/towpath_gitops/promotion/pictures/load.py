"""Under load: how champion and challenger differ, beside how far the champion is from itself; or latencies alone."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.promotion.pictures.canvas import WIDTH, Canvas, Scale
from towpath_gitops.records.figures import Measured
from towpath_gitops.records.load import MEASURES, Against, LoadFigures, Measure, Round, Turn

_LEFT: Final = 20.0
_AXIS: Final = (230.0, 590.0)
_ROW: Final = 52.0
_TOP: Final = 74.0
_LABELS: Final = {"p95_ms": "p95", "rate": "requests a second", "cpu_s_per_million": "CPU for each prediction"}
_LESS: Final = {"p95_ms", "cpu_s_per_million"}  # less is better
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_MOST_DOTS: Final = 60  # rounds that are drawn one by one

Place = Callable[[float], float]


def load(figures: LoadFigures) -> bytes:
    """Draw what a load test found."""
    return _rivals(figures) if figures.against else _alone(figures)


def _rivals(figures: LoadFigures) -> bytes:
    shown = [each for each in figures.against if each.measure in _LABELS]
    canvas = Canvas("Under load, challenger over champion", _described(shown), _TOP + _ROW * len(shown) + 64)
    canvas.words(_LEFT, 30, "Under load, challenger over champion", "head")
    canvas.words(_LEFT, 50, _caption(figures), "quiet")
    scale, bottom = _ratios(figures, shown), _TOP + _ROW * len(shown)
    place: Place = lambda ratio: scale(math.log(ratio))  # noqa: E731 (a scale of ratios is one of logarithms)
    for ratio in _ticks(scale):
        canvas.line((place(ratio), _TOP), (place(ratio), bottom), "grid")
        canvas.words(place(ratio), bottom + 16, f"{ratio:g}{_TIMES}", "quiet", anchor="middle")
    canvas.line((place(1), _TOP), (place(1), bottom), "axis")
    for position, each in enumerate(shown):
        _row(canvas, figures, each, place, _TOP + _ROW * (position + 0.5))
    words = "thick: challenger over champion, 95%; thin: champion over itself; dashed: how much worse it may be"
    canvas.words(_LEFT, bottom + 42, words, "quiet")
    return canvas.svg()


def _described(shown: Sequence[Against]) -> str:
    return " ".join(
        f"{_LABELS[each.measure]}: {each.ratio.value:.3f} times the champion's, {wording.between(_ends(each.ratio))}."
        for each in shown
    )


def _caption(figures: LoadFigures) -> str:
    rounds = wording.count(len(figures.rounds), "round")
    return f"Ratios of {rounds}, in each of which both served in turn; small dots: single rounds"


def _ends(measured: Measured) -> tuple[float, float]:
    return measured.low, measured.high


def _ratios(figures: LoadFigures, shown: Sequence[Against]) -> Scale:
    """Lay an axis of logarithms that holds all intervals and limits, and no stray round."""
    margin = math.log1p(figures.limits.margin)
    reached = [-margin, margin, *(math.log(end) for each in shown for end in (*_ends(each.ratio), *_ends(each.noise)))]
    spare = (max(reached) - min(reached)) * 0.06
    return Scale(min(reached) - spare, max(reached) + spare, *_AXIS)


def _ticks(scale: Scale) -> list[float]:
    """Return round ratios within the axis."""
    steps = [0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 5, 10, 20, 50, 100, 1000]
    inside = [step for step in steps if scale.low <= math.log(step) <= scale.high]
    return [step for step in inside if step == 1 or not _crowded(scale, step)]


def _crowded(scale: Scale, step: float) -> bool:
    return abs(scale(math.log(step)) - scale(0.0)) < 26  # noqa: PLR2004 (pixels that a label takes)


def _row(canvas: Canvas, figures: LoadFigures, each: Against, place: Place, y: float) -> None:
    less = each.measure in _LESS
    canvas.words(_LEFT, y - 2, _LABELS[each.measure], "strong" if each.measure in {"p95_ms", "rate"} else "")
    canvas.words(_LEFT, y + 14, "less is better" if less else "more is better", "quiet")
    if each.measure in {"p95_ms", "rate"}:
        limit = 1 + figures.limits.margin if less else 1 / (1 + figures.limits.margin)
        canvas.line((place(limit), y - 20), (place(limit), y + 20), "limit")
    for ratio in _single(figures, each.measure):
        canvas.dot(place(ratio), y + 9, "old", radius=1.5)
    low, high = (place(end) for end in _ends(each.noise))
    canvas.line((low, y - 10), (high, y - 10), "whisker")
    look = _look(each, less=less)
    low, high = (place(end) for end in _ends(each.ratio))
    canvas.path([(low, y), (high, y)], f"{look} line")
    for end in (low, high):
        canvas.path([(end, y - 4), (end, y + 4)], f"{look} line")
    canvas.dot(place(each.ratio.value), y, look, radius=5)
    canvas.words(WIDTH - 20, y - 2, f"{each.ratio.value:.3f}{_TIMES}", anchor="end")
    canvas.words(WIDTH - 20, y + 14, f"{each.ratio.low:.3f} to {each.ratio.high:.3f}", "quiet", anchor="end")


def _look(each: Against, *, less: bool) -> str:
    if each.ratio.low <= 1 <= each.ratio.high:
        return "open"
    return "good" if (each.ratio.high < 1) == less else "bad"


def _single(figures: LoadFigures, name: Measure) -> Iterator[float]:
    """Yield the ratio of each round by itself, where there are few enough to be told apart."""
    measure = MEASURES[name]
    for each in figures.rounds[:_MOST_DOTS]:
        pair = _pair(each)
        if pair:
            yield measure([each.challenger]) / math.sqrt(measure([pair[0]]) * measure([pair[1]]))


def _pair(each: Round) -> tuple[Turn, Turn] | None:
    return (each.champion, each.twin) if each.champion and each.twin else None


def _alone(figures: LoadFigures) -> bytes:
    served, limits = figures.challenger, figures.limits
    rows = [("p50", served.p50_ms, None), ("p95", served.p95_ms, limits.p95_ms), ("p99", served.p99_ms, limits.p99_ms)]
    told = " ".join(f"{name}: {wording.duration(each.value)}." for name, each, _ in rows)
    canvas = Canvas("Latency under load", told, _TOP + 36.0 * len(rows) + 46)
    canvas.words(_LEFT, 30, "Latency under load", "head")
    paced = f"At {figures.setting.rate:g} requests a second; whiskers: 95% intervals; dashed: what is promised"
    canvas.words(_LEFT, 50, paced, "quiet")
    reached = [each.high for _, each, _ in rows] + [limit for *_, limit in rows if limit is not None]
    scale, bottom = Scale(0, max(reached) * 1.05, *_AXIS), _TOP + 36.0 * len(rows)
    for value in scale.ticks(5):
        canvas.line((scale(value), _TOP), (scale(value), bottom), "grid")
        canvas.words(scale(value), bottom + 18, f"{wording.tick(value)} ms", "quiet", anchor="middle")
    for position, (name, each, limit) in enumerate(rows):
        _latency(canvas, name, each, limit, scale, _TOP + 36.0 * (position + 0.5))
    return canvas.svg()


def _latency(  # noqa: PLR0913, PLR0917 (a row of the picture)
    canvas: Canvas, name: str, each: Measured, limit: float | None, scale: Scale, y: float
) -> None:
    canvas.words(_LEFT, y + 4, name, "strong")
    if limit is not None:
        canvas.line((scale(limit), y - 14), (scale(limit), y + 14), "limit")
    low, high = (scale(end) for end in _ends(each))
    canvas.line((low, y), (high, y), "whisker")
    for end in (low, high):
        canvas.line((end, y - 4), (end, y + 4), "whisker")
    canvas.dot(scale(each.value), y, "bad" if limit is not None and each.low > limit else "good", radius=5)
    canvas.words(WIDTH - 20, y + 4, f"{wording.duration(each.value)}", anchor="end")
