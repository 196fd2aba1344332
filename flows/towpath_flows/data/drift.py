"""Has a column's distribution moved? A test says whether it did, an index says whether it matters.

With many rows every difference is significant, with few rows every index is large. So a column has *drifted* only when
both hold: its p-value survives Holm's correction for the number of columns, and its population stability index is at
least 0.1, from which practice speaks of a shift (0.25: a major one; Siddiqi 2006, *Credit Risk Scorecards*).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHIFT: Final = 0.1
MAJOR_SHIFT: Final = 0.25
BINS: Final = 10  # tenths of the reference sample, and one more bin for missing values
MOST_CATEGORIES: Final = 30  # the most frequent of the reference; the others share one bin
FEWEST_EXPECTED: Final = 5.0  # per cell of a chi-square test (Cochran 1954); rarer categories are put together
_EMPTY_SHARE: Final = 1e-4  # an empty bin counts as this share in the index, which would otherwise be infinite

Column = NDArray[Any]


@dataclass(frozen=True)
class ColumnDrift:
    """One column: which test, its p-value before and after correction, the index, and the verdict."""

    column: str
    test: str
    statistic: float
    p_value: float
    psi: float
    missing: tuple[float, float]  # share in the reference, share in the window
    adjusted: float = 1.0
    drifted: bool = False

    @property
    def size(self) -> str:
        """The shift in words."""
        if self.psi < SHIFT:
            return "none"
        return "major" if self.psi >= MAJOR_SHIFT else "moderate"

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "column": self.column,
            "test": self.test,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "adjusted": self.adjusted,
            "psi": self.psi,
            "size": self.size,
            "missing": list(self.missing),
            "drifted": self.drifted,
        }


def compare(reference: Mapping[str, Column], window: Mapping[str, Column], *, alpha: float) -> list[ColumnDrift]:
    """Compare columns (n,) with columns (m,) of the same names; `alpha` is the chance of any false alarm at all.

    Numbers (float, NaN for missing) are compared by Kolmogorov and Smirnov's test, texts ("" for missing) by Pearson's
    chi-square. Sorted by how far they moved.
    """
    found = [_compare(name, values, window[name]) for name, values in reference.items()]
    adjusted = holm([column.p_value for column in found])
    judged = [
        replace(column, adjusted=p, drifted=p <= alpha and column.psi >= SHIFT)
        for column, p in zip(found, adjusted, strict=True)
    ]
    return sorted(judged, key=lambda column: (-column.drifted, -column.psi))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, for comparing each with the alpha of them all.

    Holm (1979), *A simple sequentially rejective multiple test procedure*: never less powerful than Bonferroni's.
    """
    order = np.argsort(p_values)
    scaled = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in adjusted]


def _compare(name: str, reference: Column, window: Column) -> ColumnDrift:
    if reference.dtype == object:
        statistic, p_value = chi_square(reference, window)
        psi = stability(*_category_counts(reference, window))
        missing = (float(np.mean(reference == "")), float(np.mean(window == "")))
        return ColumnDrift(name, "chi-square", statistic, p_value, psi, missing)
    gone = np.isnan(reference), np.isnan(window)
    statistic, p_value = kolmogorov_smirnov(reference[~gone[0]], window[~gone[1]])
    # Missing values are a distribution of their own: the smaller of two p-values, doubled (Bonferroni).
    p_value = min(1.0, 2 * min(p_value, _chi_square_of(np.array([_two_cells(gone[0]), _two_cells(gone[1])]))[1]))
    psi = stability(*_number_counts(reference, window))
    return ColumnDrift(name, "Kolmogorov-Smirnov", statistic, p_value, psi, (gone[0].mean(), gone[1].mean()))


def kolmogorov_smirnov(reference: Column, window: Column) -> tuple[float, float]:
    """Return the greatest difference of the two distribution functions, and its asymptotic p-value.

    Without a value on one side there is nothing to compare: (0, 1); the missing values speak for themselves.
    """
    from scipy.stats import ks_2samp  # noqa: PLC0415 (heavy)

    if not len(reference) or not len(window):
        return 0.0, 1.0
    result = ks_2samp(reference, window, method="asymp")
    return float(result.statistic), float(result.pvalue)


def chi_square(reference: Column, window: Column) -> tuple[float, float]:
    """Return Pearson's statistic of homogeneity over the categories, and its p-value.

    Categories of which fewer than five would be expected on either side are put together.
    """
    names = np.unique(np.concatenate([reference, window]).astype(str))
    table = np.array([_counts(side, names) for side in (reference, window)])
    return _chi_square_of(table)


def _chi_square_of(table: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import chi2_contingency  # noqa: PLC0415 (heavy)

    expected = table.sum(axis=0) * table.sum(axis=1).min() / max(table.sum(), 1.0)
    rare = expected < FEWEST_EXPECTED
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():  # noqa: PLR2004 (one category is always alike)
        return 0.0, 1.0
    result = chi2_contingency(table, correction=False)
    return float(result.statistic), float(result.pvalue)


def stability(reference: NDArray[np.float64], window: NDArray[np.float64]) -> float:
    """Return the population stability index of two rows of counts over the same bins: the symmetric divergence.

    An empty bin counts as a share of 0.0001.
    """
    shares = [np.maximum(counts / max(counts.sum(), 1.0), _EMPTY_SHARE) for counts in (reference, window)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _number_counts(reference: Column, window: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count in tenths of the reference (fewer where values repeat), and missing values in a bin of their own."""
    known = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.array([])
    # `side="left"`: a bin includes its upper edge, so that a value which is most of the column has a bin for itself.
    return _binned(reference, edges), _binned(window, edges)


def _binned(values: Column, edges: Column) -> NDArray[np.float64]:
    gone = np.isnan(values)
    counts = np.bincount(np.searchsorted(edges, values[~gone], side="left"), minlength=len(edges) + 1)
    return np.append(counts, gone.sum()).astype(np.float64)


def _category_counts(reference: Column, window: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    names, counts = np.unique(reference.astype(str), return_counts=True)
    kept = np.sort(names[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES])
    sides = [_counts(side, kept) for side in (reference, window)]
    others = [len(side) - counted.sum() for side, counted in zip((reference, window), sides, strict=True)]
    if not any(others):
        return sides[0], sides[1]
    return np.append(sides[0], others[0]), np.append(sides[1], others[1])


def _counts(values: Column, names: Column) -> NDArray[np.float64]:
    """Count the values that are among the sorted `names`."""
    places = np.searchsorted(names, values.astype(str))
    inside = np.minimum(places, len(names) - 1)
    return np.bincount(inside[names[inside] == values.astype(str)], minlength=len(names)).astype(np.float64)


def _two_cells(gone: NDArray[np.bool_]) -> list[float]:
    return [float(gone.sum()), float((~gone).sum())]


def false_alarm_rate(allowed_per_day: float, every_s: float) -> float:
    """Return the alpha of one look every `every_s` seconds, when `allowed_per_day` false alarms are borne."""
    return min(0.5, max(math.ulp(1.0), allowed_per_day * every_s / 86400))
