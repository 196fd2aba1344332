"""Many rows in few cells: rows alike in truth, decision, group and rank are drawn together, by the same chances.

A resample's ROC AUC, or any other measure of truth and answers, depends on how many of the drawn rows are alike, not on
which. So the counts of cells are drawn at once from the multinomial distribution that drawing row by row would give
them, and what a resample costs no longer grows with the rows. What is lost is the spread within a cell: with 256 cells
for a class about 1 / 256² of the variance, far less than two thousand resamples tell. Estimates use every row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.deciding import DEFAULT_THRESHOLD, Rule
from towpath_flows.evaluation.bootstrap import CONFIDENCE, RESAMPLES, Estimate, resample, summarise
from towpath_flows.evaluation.metrics import BINS, Floats, Metric
from towpath_gitops.records.signature import Task

MANY_ROWS: Final = 20_000  # from which cells are drawn: below, drawing row by row takes no longer
_CELLS: Final = 256  # of each class, by rank
_CELLS_OF_GROUP: Final = 64  # of each class in each group

Sizes = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Rows, or cells of rows: truth (n,), answers (n, k), how many rows each stands for (n,), and groups (n,)."""

    y: NDArray[Any]
    p: NDArray[Any]
    sizes: Sizes
    groups: Sizes

    def draw(self, prepared: Any, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:  # noqa: ANN401 (a sequence of measures)
        """Return the values (resamples, m) of `m` measures that were prepared on this sample."""
        sizes = None if len(self.y) == self.sizes.sum() else self.sizes
        return resample(prepared, len(self.y), resamples=resamples, seed=seed, sizes=sizes)


def rows_of(y: NDArray[Any], p: NDArray[Any], groups: Sizes | None = None) -> Sample:
    """Return the rows themselves."""
    one = np.ones(len(y), dtype=np.int64)
    return Sample(y, p, one, one if groups is None else groups)


def sample_of(
    task: Task, y: NDArray[Any], p: NDArray[Any], *, threshold: Rule = 0.5, groups: Sizes | None = None
) -> Sample:
    """Return the rows themselves, or their cells where two classes have 20,000 rows or more.

    No cell reaches over the threshold, or over the bounds of a calibration bin.
    """
    chance, truth = np.asarray(p, dtype=np.float64).reshape(len(y), -1)[:, 0], np.asarray(y, dtype=np.int64)
    if task != "binary" or len(y) < MANY_ROWS or not np.isfinite(chance).all():
        return rows_of(y, p, groups)
    families = truth if groups is None else truth + 2 * (groups - groups.min())
    order = np.lexsort((chance, families))
    chance, families = chance[order], families[order]
    cells = _cells(chance, families, threshold, _CELLS if groups is None else _CELLS_OF_GROUP)
    sizes = np.bincount(cells).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.bincount(cells, weights=chance) / sizes
    within = np.clip(means, chance[first], chance[first + sizes - 1])  # a mean of equals may round to another number
    known = sizes if groups is None else groups[order][first]
    return Sample(truth[order][first], within[:, None], sizes, known)


def _cells(chance: Floats, families: Sizes, threshold: Rule, most: int) -> Sizes:
    """Return the cell (n,) of rows sorted by family and answer: each family in at most about `most` equal runs."""
    new = np.flatnonzero(np.diff(families, prepend=families[0] - 1))
    rows = np.diff(np.append(new, len(families)))
    place = np.arange(len(families)) - np.repeat(new, rows)
    run = place // np.repeat(np.maximum(1, rows // most), rows)
    border = DEFAULT_THRESHOLD if isinstance(threshold, tuple) else threshold  # costs decide among many classes only
    side = np.minimum((chance * BINS).astype(np.int64), BINS - 1) * 2 + (chance >= border)
    changes = (np.diff(families, prepend=-1) != 0) | (np.diff(run, prepend=-1) != 0) | (np.diff(side, prepend=-1) != 0)
    return np.asarray(np.cumsum(changes) - 1)


def measured(  # noqa: PLR0913 (a measurement needs its measures, truth and answers)
    measures: Mapping[str, Metric],
    task: Task,
    y: NDArray[Any],
    p: NDArray[Any],
    *,
    threshold: Rule = 0.5,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return each measure of all rows with its 95 % bootstrap interval.

    Measures that look at more than truth and answers are drawn row by row, the others by cells where rows are many.
    """
    rows = rows_of(y, p)
    cells = sample_of(task, y, p, threshold=threshold)
    found: dict[str, Estimate] = {}
    for sample, wanted in ((cells, False), (rows, True)):
        asked = {name: metric for name, metric in measures.items() if metric.looks_at_rows is wanted}
        found |= _estimated(asked, task, (y, p), sample, threshold=threshold, seed=seed) if asked else {}
    return {name: found[name] for name in measures}


def _estimated(  # noqa: PLR0913 (as above)
    measures: Mapping[str, Metric],
    task: Task,
    whole: tuple[NDArray[Any], NDArray[Any]],
    sample: Sample,
    *,
    threshold: Rule,
    seed: int,
) -> dict[str, Estimate]:
    prepared = {name: metric.prepare(task, sample.y, sample.p, threshold) for name, metric in measures.items()}
    drawn = sample.draw(list(prepared.values()), seed=seed)
    found = {}
    for index, (name, metric) in enumerate(measures.items()):
        about = float(prepared[name](sample.sizes[None].astype(np.float64))[0])
        value = about if sample.y is whole[0] else metric.measure(task, *whole, threshold)
        found[name] = summarise(value, drawn[:, index] + (value - about), CONFIDENCE)
    return found
