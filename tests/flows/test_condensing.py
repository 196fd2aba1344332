"""Many rows in few cells: the same estimates and intervals as row by row, at a cost that does not grow with rows."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from towpath_flows.evaluation import condensing
from towpath_flows.evaluation.bootstrap import Estimate, estimates
from towpath_flows.evaluation.condensing import measured, sample_of
from towpath_flows.evaluation.draws import cell_counts
from towpath_flows.evaluation.metrics import METRICS, Floats, metrics_of
from towpath_flows.evaluation.slices import measure_slices
from towpath_flows.spec import SliceGate

Labels = NDArray[np.int64]
MANY_ROWS = 6000  # here, so that drawing row by row takes no minute either
GATE = SliceGate(metric="roc_auc", slice="origin", gap=0.02)


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condensing, "MANY_ROWS", MANY_ROWS)


@cache
def answered(rows: int, seed: int = 0) -> tuple[Labels, Floats]:
    """Return a truth (n,), of which one in five is true, and answers (n, 1) that know something of it."""
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.2).astype(np.int64)
    return y, (1 / (1 + np.exp(1.4 - y - random.normal(0, 1, rows))))[:, None]


@cache
def row_by_row(rows: int) -> dict[str, Estimate]:
    """Return every metric as it is measured where rows are few."""
    y, p = answered(rows)
    return estimates({each.name: each.prepare("binary", y, p) for each in metrics_of("binary")}, len(y))


def test_few_rows_are_drawn_row_by_row() -> None:
    """Below the limit nothing is condensed: a number of rows is a number of draws."""
    y, p = answered(2000)
    assert measured({each.name: each for each in metrics_of("binary")}, "binary", y, p) == row_by_row(2000)


def test_estimates_use_every_row() -> None:
    """What is measured on cells is only how far resamples scatter; the values themselves are those of all rows."""
    y, p = answered(MANY_ROWS)
    found = measured({each.name: each for each in metrics_of("binary")}, "binary", y, p)
    for name, estimate in found.items():
        assert estimate.value == METRICS[name].measure("binary", y, p)


@pytest.mark.parametrize("metric", metrics_of("binary"), ids=lambda metric: metric.name)
def test_intervals_are_those_of_drawing_row_by_row(metric) -> None:  # noqa: ANN001 (a Metric)
    """The ends differ by less than two thousand resamples can tell: a tenth of the interval's width."""
    y, p = answered(MANY_ROWS)
    cells, rows = measured({"": metric}, "binary", y, p)[""], row_by_row(MANY_ROWS)[metric.name]
    allowed = 0.1 * (rows.high - rows.low)
    assert cells.low == pytest.approx(rows.low, abs=allowed)
    assert cells.high == pytest.approx(rows.high, abs=allowed)


def test_cells_hold_every_row_once_and_are_few() -> None:
    """A million rows become some hundred cells, which together count a million."""
    y, p = answered(1_000_000)
    cells = sample_of("binary", y, p)
    assert cells.sizes.sum() == 1_000_000
    assert (cells.sizes * cells.y).sum() == y.sum()
    assert len(cells.y) < 600


@pytest.mark.parametrize("threshold", [0.5, 0.1237])
def test_no_cell_reaches_over_a_decision(threshold: float) -> None:
    """As many rows are decided for by cells as by rows, whatever the threshold."""
    y, p = answered(MANY_ROWS)
    cells = sample_of("binary", y, p, threshold=threshold)
    assert cells.sizes[cells.p[:, 0] >= threshold].sum() == (p >= threshold).sum()


def test_equal_answers_stay_equal() -> None:
    """A model that answers few different numbers keeps its ties: they still count half."""
    y, p = answered(MANY_ROWS)
    coarse = np.round(p, 1)
    cells = sample_of("binary", y, coarse)
    area = METRICS["roc_auc"].prepare("binary", cells.y, cells.p)(cells.sizes[None].astype(float))[0]
    assert area == pytest.approx(METRICS["roc_auc"].measure("binary", y, coarse), abs=1e-4)


def test_a_rare_class_keeps_its_rows() -> None:
    """Of a class with few rows each is a cell: nothing of what little is known of it is lost."""
    _, p = answered(MANY_ROWS)
    y = (np.arange(MANY_ROWS) < 300).astype(np.int64)
    cells = sample_of("binary", y, p)
    assert (cells.sizes[cells.y == 1] == 1).all()


def test_other_tasks_are_left_as_they_are() -> None:
    """Values and many classes have no rank that says it all: their rows are drawn one by one."""
    y, p = answered(MANY_ROWS)
    assert len(sample_of("regression", y, p).y) == MANY_ROWS


def test_cells_are_drawn_as_rows_would_be() -> None:
    """Each resample holds as many rows as there are, each cell on average its own number, and a seed gives the same."""
    sizes = np.array([700, 200, 100])
    first, second = (np.concatenate(list(cell_counts(sizes, 4000, 3))) for _ in range(2))
    assert (first.sum(axis=1) == 1000).all()
    assert first.mean(axis=0) == pytest.approx(sizes, rel=0.02)
    assert first.var(axis=0) == pytest.approx(sizes * (1 - sizes / 1000), rel=0.15)
    assert (first == second).all()


def test_slices_are_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of many rows get the same values, intervals and verdicts by cells as row by row."""
    y, p = (each.copy() for each in answered(MANY_ROWS))
    random = np.random.default_rng(1)
    groups = random.choice(["EWR", "JFK", "LGA"], len(y), p=[0.5, 0.3, 0.2])
    worse = groups == "LGA"
    p[worse] = random.permutation(p[worse])  # knows nothing there
    cells = measure_slices("binary", y, p, groups, GATE)
    monkeypatch.setattr(condensing, "MANY_ROWS", len(y) + 1)
    rows = measure_slices("binary", y, p, groups, GATE)
    for one, other in zip(cells, rows, strict=True):
        width = other.gap.high - other.gap.low
        assert (one.value, one.rows, one.measured.value) == (other.value, other.rows, other.measured.value)
        assert one.gap.low == pytest.approx(other.gap.low, abs=0.15 * width)
        assert one.gap.high == pytest.approx(other.gap.high, abs=0.15 * width)
        assert (one.p_value < 0.01) == (other.p_value < 0.01) == (one.value == "LGA")
