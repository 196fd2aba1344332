"""Reliability curves: what was promised against what came true, of both releases."""

from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.promotion.pictures.canvas import Canvas, Scale
from towpath_gitops.records.figures import Bins, Calibration

_LEFT: Final = 72.0
_TOP: Final = 96.0
_SIDE: Final = 300.0
_KEY: Final = _LEFT + _SIDE + 56
_LARGEST: Final = 9.0  # radius of a dot in pixels
_SMALLEST: Final = 2.5


def reliability(challenger: Calibration, champion: Calibration | None) -> bytes:
    """Draw the curves of a challenger and, where there is one, of the champion."""
    canvas = Canvas("Calibration", _described(challenger, champion), _TOP + _SIDE + 62)
    canvas.words(20, 30, "Calibration", "head")
    canvas.words(20, 50, "Does what is promised come true? On the diagonal it does", "quiet")
    x, y = Scale(0, 1, _LEFT, _LEFT + _SIDE), Scale(0, 1, _TOP + _SIDE, _TOP)
    _frame(canvas, x, y)
    if champion is not None:
        _curve(canvas, champion.bins, (x, y), old=True)
    _curve(canvas, challenger.bins, (x, y), old=False)
    _key(canvas, challenger, champion)
    return canvas.svg()


def _described(challenger: Calibration, champion: Calibration | None) -> str:
    words = f"Expected calibration error of the challenger: {_error(challenger)}."
    return words if champion is None else f"{words} Of the champion: {_error(champion)}."


def _error(calibration: Calibration) -> str:
    ends = f" ({wording.between(calibration.interval)})" if calibration.interval else ""
    return f"{wording.figure(calibration.error)}{ends}"


def _frame(canvas: Canvas, x: Scale, y: Scale) -> None:
    for position in range(6):
        value = position / 5
        canvas.line((x(value), y(0)), (x(value), y(1)), "grid")
        canvas.line((x(0), y(value)), (x(1), y(value)), "grid")
        canvas.words(x(value), y(0) + 18, f"{value:.0%}", "quiet", anchor="middle")
        canvas.words(x(0) - 8, y(value) + 4, f"{value:.0%}", "quiet", anchor="end")
    canvas.line((x(0), y(0)), (x(1), y(1)), "axis dashed")
    canvas.words(x(0.5), y(0) + 40, "predicted probability", "quiet", anchor="middle")
    canvas.words(x(0) - 52, y(1) - 16, "came true", "quiet")


def _curve(canvas: Canvas, bins: Bins, axes: tuple[Scale, Scale], *, old: bool) -> None:
    x, y = axes
    points = [(x(each.predicted), y(each.observed)) for each in bins]
    most = max((each.rows for each in bins), default=1)
    canvas.path(points, "old line dashed" if old else "good line")
    for (left, top), each in zip(points, bins, strict=True):
        radius = max(_SMALLEST, _LARGEST * (each.rows / most) ** 0.5)
        (canvas.square if old else canvas.dot)(left, top, "old" if old else "good", radius=radius)


def _key(canvas: Canvas, challenger: Calibration, champion: Calibration | None) -> None:
    known = [("challenger", challenger, "good"), *([("champion", champion, "old")] if champion else [])]
    top = _TOP + 20
    for name, calibration, look in known:
        canvas.path([(_KEY, top - 4), (_KEY + 34, top - 4)], f"{look} line{' dashed' if look == 'old' else ''}")
        (canvas.square if look == "old" else canvas.dot)(_KEY + 17, top - 4, look)
        canvas.words(_KEY + 46, top, name, "strong")
        canvas.words(_KEY + 46, top + 20, f"calibration error {wording.figure(calibration.error)}")
        if calibration.interval:
            ends = f"95% interval {wording.between(calibration.interval)}"
            canvas.words(_KEY + 46, top + 38, ends, "quiet")
        canvas.words(_KEY + 46, top + 56, wording.count(sum(each.rows for each in calibration.bins), "row"), "quiet")
        top += 96
    canvas.words(_KEY, _TOP + _SIDE, "The larger a mark, the more rows.", "quiet")
