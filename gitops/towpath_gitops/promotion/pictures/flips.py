"""Flips by segment: where champion and challenger decide differently, worst segment first."""

from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.promotion.pictures.canvas import WIDTH, Canvas, Scale, extent, shortened
from towpath_gitops.records.figures import Replay, Segment

MOST: Final = 20  # segments that are drawn; the figures hold more
_LEFT: Final = 20.0
_AXIS: Final = (290.0, 580.0)
_LABEL: Final = 242.0  # room for a segment's name, bold letters included
_ROW: Final = 26.0
_TOP: Final = 92.0


def flips(replay: Replay) -> bytes:
    """Draw the share of flips in each of the worst segments, beside the share over all rows."""
    shown = replay.ranked[:MOST]
    canvas = Canvas(_title(replay), _described(replay), _TOP + _ROW * max(len(shown), 1) + 46)
    canvas.words(_LEFT, 30, _title(replay), "head")
    canvas.words(_LEFT, 50, _caption(replay), "quiet")
    scale = Scale(0, max([replay.share, *(each.interval[1] for each in shown), 0.01]), *_AXIS)
    bottom = _TOP + _ROW * max(len(shown), 1)
    for value in scale.ticks(5):
        canvas.line((scale(value), _TOP), (scale(value), bottom), "grid")
        canvas.words(scale(value), bottom + 18, f"{wording.tick(value * 100)}%", "quiet", anchor="middle")
    for position, segment in enumerate(shown):
        _draw(canvas, segment, scale, _TOP + _ROW * position, worst=segment == replay.worst)
    if not shown:
        canvas.words(_LEFT, _TOP + 17, "There is no column to tell segments by.", "quiet")
    _overall(canvas, replay, scale, bottom)
    return canvas.svg()


def _title(replay: Replay) -> str:
    return "Answers that change, by segment" if replay.tolerance is not None else "Decisions that flip, by segment"


def _caption(replay: Replay) -> str:
    changed = f"{wording.percent(replay.share)} of {wording.count(replay.rows, 'row')}"
    more = len(replay.segments) - MOST
    rest = f"; {more} more are not drawn" if more > 0 else ""
    if replay.tolerance is None:
        return f"{changed} of the replay are decided differently; whiskers: 95% intervals{rest}"
    return (
        f"{changed} of the replay differ by more than {wording.figure(replay.tolerance)}; whiskers: 95% intervals{rest}"
    )


def _described(replay: Replay) -> str:
    worst = replay.worst
    words = f"{wording.percent(replay.share)} of {wording.count(replay.rows, 'row')} change."
    if worst is None:
        return words
    rows = wording.count(worst.rows, "row")
    return f"{words} The worst segment is {wording.place(worst)}: {wording.percent(worst.share)} of {rows}."


def _draw(canvas: Canvas, segment: Segment, scale: Scale, top: float, *, worst: bool) -> None:
    middle = top + _ROW / 2
    canvas.words(_LEFT, middle + 4, _label(segment), "strong" if worst else "", whole=wording.place(segment))
    canvas.bar((scale(0), top + 5), scale(segment.share) - scale(0), _ROW - 10, "worst" if worst else "bar")
    low, high = (scale(end) for end in segment.interval)
    canvas.line((low, middle), (high, middle), "whisker")
    for end in (low, high):
        canvas.line((end, middle - 4), (end, middle + 4), "whisker")
    figures = f"{wording.percent(segment.share)} of {segment.rows:,}"
    canvas.words(WIDTH - 20, middle + 4, figures, "strong" if worst else "", anchor="end")


def _label(segment: Segment) -> str:
    """Name a segment in the room there is: of the value, which tells segments apart, as much as fits."""
    room = _LABEL - extent(" ")
    value = shortened(wording.related(segment.value), max(room / 2, room - extent(segment.column)))
    return f"{shortened(segment.column, room - extent(value))} {value}"


def _overall(canvas: Canvas, replay: Replay, scale: Scale, bottom: float) -> None:
    place = scale(replay.share)
    canvas.line((place, _TOP - 6), (place, bottom), "limit")
    canvas.words(place, _TOP - 12, f"all rows: {wording.percent(replay.share)}", "quiet", anchor="middle")
