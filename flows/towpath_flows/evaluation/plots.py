"""Small plots as SVG data addresses: one file shows them anywhere, and the same figures give the same bytes."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_gitops.records.figures import OperatingPoint

Array = NDArray[Any]
Draw = Callable[[Any], None]  # draws on a matplotlib Axes

INK: Final = "#1d3b53"
ACCENT: Final = "#c8553d"
QUIET: Final = "#9fb3c8"
_SIZE_INCHES: Final = (4.6, 3.4)
_POINTS: Final = 300  # of a curve: more cannot be seen
_LONGEST_NAME: Final = 28
_SHORT_NAME: Final = 12
_LONGEST_UPRIGHT: Final = 4
_STYLE: Final[Any] = {
    "svg.hashsalt": "towpath",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def svg(draw: Draw) -> str:
    """Return `data:image/svg+xml;base64,…` of one plot; no window, no global state, no date in the file."""
    import matplotlib as mpl  # noqa: PLC0415 (heavy)
    from matplotlib.figure import Figure  # noqa: PLC0415 (heavy)

    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def roc(y: Array, chance: Array, area: float) -> Draw:
    """Plot hits against false alarms over all thresholds; `y` (n,) holds 0 and 1, `chance` (n,) probabilities."""
    order = np.argsort(-chance, kind="stable")
    ends = np.flatnonzero(np.diff(chance[order], append=np.nan) != 0)
    hits, alarms = np.cumsum(y[order])[ends], np.cumsum(1 - y[order])[ends]
    shown = np.unique(np.linspace(0, len(ends) - 1, _POINTS).astype(int))

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        x = np.append(0, alarms[shown] / max(alarms[-1], 1))
        axes.plot(x, np.append(0, hits[shown] / max(hits[-1], 1)), color=INK, label=f"area {area:.3f}")
        axes.set(title="ROC curve", xlabel="false alarms among negatives", ylabel="hits among positives")
        axes.set_aspect("equal")
        axes.legend(loc="lower right")

    return draw


def calibration(bins: Sequence[Mapping[str, float]]) -> Draw:
    """Plot what was promised against what came true, per tenth; the size of a dot is its number of rows."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        rows = np.array([each["rows"] for each in bins])
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        x, y = [each["predicted"] for each in bins], [each["observed"] for each in bins]
        axes.plot(x, y, color=INK, linewidth=1)
        axes.scatter(x, y, s=8 + 120 * rows / rows.max(), color=INK)
        axes.set(title="Calibration", xlabel="predicted probability", ylabel="share that came true")
        axes.set(xlim=(0, 1), ylim=(0, 1))

    return draw


def thresholds(curve: Sequence[OperatingPoint], chosen: float | None) -> Draw:
    """Plot recall and precision, and the mean cost where it is known, over the thresholds; a line at the chosen one."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        x = [point.threshold for point in curve]
        axes.plot(x, [point.recall for point in curve], color=INK, label="recall")
        shown = [point for point in curve if point.positives > 0]
        axes.plot([p.threshold for p in shown], [p.precision for p in shown], color=ACCENT, label="precision")
        axes.plot(x, [point.positives for point in curve], color=QUIET, label="decided for")
        costs = [point.cost for point in curve if point.cost is not None]
        if len(costs) == len(curve) and np.ptp(costs):
            scaled = (np.array(costs) - min(costs)) / np.ptp(costs)
            axes.plot(x, scaled, color=INK, linestyle="--", linewidth=1, label="cost, least to most")
        if chosen is not None:
            axes.axvline(chosen, color=QUIET, linestyle=":", linewidth=1)
        axes.set(
            title="Thresholds", xlabel="decided from a probability of", ylabel="share", xlim=(0, 1), ylim=(0, 1.02)
        )
        axes.legend(fontsize=7)

    return draw


def tenths(y: Array, answers: Array) -> Draw:
    """Plot, for each tenth of a regression's answers (n,), the mean answer against the mean truth (n,)."""
    order = np.argsort(answers, kind="stable")
    parts = [part for part in np.array_split(order, 10) if len(part)]

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        x, means = [float(answers[part].mean()) for part in parts], [float(y[part].mean()) for part in parts]
        ends = [min(*x, *means), max(*x, *means)]
        axes.plot(ends, ends, color=QUIET, linestyle=":", linewidth=1)
        axes.plot(x, means, color=INK, marker="o", markersize=4)
        axes.set(title="Calibration, tenth by tenth", xlabel="mean answer", ylabel="mean truth")

    return draw


def confusion(classes: Sequence[str], y: Array, decided: Array) -> Draw:
    """Plot which class (n,) is taken for which: shares of each true class, with the numbers of rows in the cells."""
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (y.astype(np.int64), decided.astype(np.int64)), 1)
    shares_ = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        axes.imshow(shares_, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        names = [_plain(name if len(name) <= _SHORT_NAME else f"{name[:_SHORT_NAME]}…") for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(counts):
            dark = shares_[row, column] > 0.5  # noqa: PLR2004 (half as dark as can be)
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=7, color="w" if dark else INK)
        axes.set(title="What is taken for what", xlabel="decided", ylabel="truth")

    return draw


def scores(groups: Mapping[str, Array], title: str, label: str) -> Draw:
    """Plot histograms of one number in several groups of rows (each (n,)), each scaled to its own size."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        known = {name: np.asarray(values, dtype=np.float64) for name, values in groups.items()}
        known = {name: values[np.isfinite(values)] for name, values in known.items()}
        edges = _edges([values for values in known.values() if len(values)])
        for (name, values), colour in zip(known.items(), (QUIET, ACCENT, INK), strict=False):
            weights = np.full(len(values), 1 / max(len(values), 1))
            axes.hist(
                np.clip(values, edges[0], edges[-1]), bins=edges, weights=weights, color=colour, alpha=0.6, label=name
            )
        axes.set(title=title, xlabel=label, ylabel="share of rows")
        axes.legend()

    return draw


def _edges(groups: Sequence[Array]) -> Array:
    """Return the edges of 30 bins over all but the outermost half percent of every group."""
    if not groups:
        return np.linspace(0, 1, 31)
    ends = np.array([np.quantile(values, [0.005, 0.995]) for values in groups])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    return np.linspace(low, high if high > low else low + 1, 31)


def bars(values: Mapping[str, float], title: str, label: str, *, limit: float | None = None) -> Draw:
    """Plot named numbers as horizontal bars, the first on top, with a dotted line at `limit`."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        names = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in values]
        heights = list(values.values())
        colours = [ACCENT if limit is not None and height >= limit else INK for height in heights]
        places = np.arange(len(names))
        axes.barh(places, heights, color=colours)
        axes.set_yticks(places, [_plain(name) for name in names])
        axes.invert_yaxis()
        if limit is not None:
            axes.axvline(limit, color=QUIET, linestyle=":", linewidth=1)
        axes.set(title=title, xlabel=label)

    return draw


def shares(reference: Mapping[str, float], window: Mapping[str, float], title: str) -> Draw:
    """Plot the shares of categories in two samples side by side."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        names = list(reference)
        places = np.arange(len(names))
        axes.bar(places - 0.2, list(reference.values()), 0.4, color=QUIET, label="reference")
        axes.bar(places + 0.2, [window.get(name, 0) for name in names], 0.4, color=ACCENT, label="window")
        slant: dict[str, Any] = {"rotation": 60, "ha": "right"} if max(map(len, names)) > _LONGEST_UPRIGHT else {}
        axes.set_xticks(places, [_plain(name) for name in names], **slant)
        axes.set(title=_plain(title), ylabel="share of rows")
        axes.margins(y=0.2)
        axes.legend()

    return draw


def diagonal(y: Array, answers: Array) -> Draw:
    """Plot answers of a regression against the truth, both (n,)."""

    def draw(axes: Any) -> None:  # noqa: ANN401 (matplotlib's types are not checked here)
        shown = np.unique(np.linspace(0, len(y) - 1, 2000).astype(int))
        axes.scatter(y[shown], answers[shown], s=4, color=INK, alpha=0.4)
        ends = [float(np.min(y)), float(np.max(y))]
        axes.plot(ends, ends, color=QUIET, linestyle=":", linewidth=1)
        axes.set(title="Answers against the truth", xlabel="truth", ylabel="answer")

    return draw


def _plain(text: str) -> str:
    """Keep matplotlib from reading names of columns as formulas."""
    return text.replace("$", r"\$")
