"""A forest plot: every metric's difference with its interval, right of the line where the challenger is better."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.promotion.pictures.canvas import WIDTH, Canvas, Scale, shortened
from towpath_gitops.records.figures import MetricDifference, Rivals

_LEFT: Final = 20.0
_AXIS: Final = (215.0, 500.0)
_FIGURES: Final = WIDTH - 20.0
_ROW: Final = 42.0
_TOP: Final = 74.0
_PANEL: Final = 52.0  # below the rows: ticks, and what the axis says
_LOOKS: Final = {"better": "good", "worse": "bad", "unclear": "open"}
_ROOM: Final = 1.15  # the axis is this much longer than what it must show


def differences(rivals: Rivals) -> bytes:
    """Draw the metrics of two releases, those of one unit on one axis."""
    panels = [list(rows) for _, rows in groupby(sorted(rivals.metrics, key=_unit), key=_unit)]
    height = _TOP + _ROW * len(rivals.metrics) + _PANEL * len(panels) + 8
    canvas = Canvas("Champion against challenger, metric by metric", _described(rivals.metrics), height)
    canvas.words(_LEFT, 30, "Champion against challenger", "head")
    canvas.words(_LEFT, 50, _caption(rivals), "quiet")
    top = _TOP
    for rows in panels:
        top = _panel(canvas, rows, top)
    return canvas.svg()


def _unit(difference: MetricDifference) -> bool:
    return difference.unit != "target"


def _described(metrics: Iterable[MetricDifference]) -> str:
    return " ".join(
        f"{each.label}: {wording.figure(each.champion)} to {wording.figure(each.challenger)}, {each.standing}."
        for each in metrics
    )


def _caption(rivals: Rivals) -> str:
    rows = wording.count(rivals.rows, "row")
    judged = "; dashed: how much worse a gate lets it be" if any(each.margin for each in rivals.metrics) else ""
    return f"On the same {rows}, with intervals of the paired difference{judged}"


def _panel(canvas: Canvas, rows: Sequence[MetricDifference], top: float) -> float:
    """Draw the rows of one axis below `top` and return where it ends."""
    scale, bottom = _scale(rows), top + _ROW * len(rows)
    for value in scale.ticks(5):
        canvas.line((scale(value), top), (scale(value), bottom), "grid")
        canvas.words(scale(value), bottom + 16, "0" if value == 0 else wording.tick(value), "quiet", anchor="middle")
    canvas.line((scale(0), top), (scale(0), bottom), "axis")
    canvas.words(_AXIS[0], bottom + 34, "← worse", "quiet")
    canvas.words(_AXIS[1], bottom + 34, "better →", "quiet", anchor="end")
    for position, row in enumerate(rows):
        _draw(canvas, row, scale, top + _ROW * (position + 0.5))
    return bottom + _PANEL


def _scale(rows: Sequence[MetricDifference]) -> Scale:
    reached = [0.0]
    for row in rows:
        reached += [row.gain, -(row.margin or 0), *(row.gain_interval or ())]
    low, high = min(reached), max(reached)
    spare = (high - low) * (_ROOM - 1) / 2
    return Scale(low - spare, high + spare, *_AXIS)


def _draw(canvas: Canvas, row: MetricDifference, scale: Scale, y: float) -> None:
    width = _AXIS[0] - _LEFT - 12
    canvas.words(_LEFT, y - 2, shortened(row.label, width), "strong" if row.margin is not None else "", whole=row.label)
    canvas.words(_LEFT, y + 14, _about(row), "quiet")
    if row.margin:
        canvas.line((scale(-row.margin), y - 15), (scale(-row.margin), y + 15), "limit")
    look = _LOOKS[row.standing]
    if row.gain_interval is not None:
        low, high = (scale(end) for end in row.gain_interval)
        canvas.path([(low, y), (high, y)], f"{look} line")
        for end in (low, high):
            canvas.path([(end, y - 4), (end, y + 4)], f"{look} line")
    canvas.dot(scale(row.gain), y, look, radius=5)
    change = f"{wording.figure(row.champion)} → {wording.figure(row.challenger)}"
    canvas.words(_FIGURES, y - 2, change, anchor="end")
    canvas.words(_FIGURES, y + 14, _difference(row), "quiet", anchor="end")


def _about(row: MetricDifference) -> str:
    direction = "more is better" if row.greater_is_better else "less is better"
    return direction if row.margin is None else f"{direction}; margin {row.margin:g}"


def _difference(row: MetricDifference) -> str:
    ends = f" ({wording.between(row.interval, sign=True)})" if row.interval else ""
    return f"{wording.signed(row.difference)}{ends}"
