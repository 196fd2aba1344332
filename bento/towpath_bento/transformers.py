"""Reusable transformers: scikit-learn's interface, an exact twin in the served graph, and no code of an owner's.

They stand in this room because the native engine opens them as well; `towpath_flows.transformers` is where owners take
them from. All take the columns as they are served: numbers as float32 with NaN for missing, text as str with "" for
missing. What a graph computes must be what training computed, to the bit: trees decide on equality with thresholds.
So everything is either arithmetic that IEEE 754 rounds alike everywhere, or done in double and rounded to float32.
"""

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

PERIODS: Final = {
    "second": 60.0,
    "minute": 60.0,
    "hour": 24.0,
    "weekday": 7.0,
    "day_of_month": 31.0,
    "day_of_year": 365.25,
    "month": 12.0,
    "quarter": 4.0,
}
OTHER: Final = "(rare)"
GRID: Final = 2.0**24  # waves are rounded to its inverse: around zero, libraries agree on their size to that at best

Numbers = NDArray[np.float32]


class Cyclic(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Sine and cosine of a cyclic number, so that 23 o'clock is near 0: (n, k) → (n, 2k), all sines first.

    `period` is the length of the cycle in the column's own unit, or the name of a part of time: second, minute, hour,
    weekday, day_of_month, day_of_year, month, quarter. Missing stays missing.
    """

    def __init__(self, period: float | str = "hour") -> None:
        """Take the period."""
        self.period = period

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (scikit-learn hands over frames and arrays)
        """Look up the period.

        Raises:
            ValueError: it is no known part of time, or not above zero.
        """
        length = PERIODS.get(self.period) if isinstance(self.period, str) else float(self.period)
        if length is None or not length > 0:
            message = f"period is a number above zero or one of {', '.join(PERIODS)}, not {self.period!r}"
            raise ValueError(message)
        self.length_, self.names_ = length, _names(x)
        return self

    def transform(self, x: Any) -> Numbers:  # noqa: ANN401 (as above)
        """Return the sines and the cosines."""
        check_is_fitted(self)
        turns = numbers(x).astype(np.float64) / self.length_
        angle = (turns - np.floor(turns)) * (2 * np.pi)
        waves = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
        return np.asarray(np.rint(waves * GRID) / GRID, dtype=np.float32)

    def get_feature_names_out(self, _names: Any = None) -> NDArray[Any]:  # noqa: ANN401 (as above)
        """Return the names of the features."""
        return np.array([f"{name}_{part}" for part in ("sin", "cos") for name in self.names_], dtype=object)


class Log(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """The logarithm of 1 + |x| with the sign of x: (n, k) → (n, k). Zero stays zero, missing stays missing."""

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (as above)
        """Learn nothing but the names."""
        _name(self, x)
        return self

    def transform(self, x: Any) -> Numbers:  # noqa: ANN401 (as above)
        """Return the signed logarithms."""
        values = numbers(x).astype(np.float64)
        size = np.log(1 + np.abs(values))
        return np.asarray(np.where(values < 0, -size, size), dtype=np.float32)


class Ratio(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """The first column by the second: (n, 2) → (n, 1). Missing where either is, or where the result is not finite."""

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (as above)
        """Check that there are two columns.

        Raises:
            ValueError: there are not.
        """
        if numbers(x).shape[1] != 2:  # noqa: PLR2004 (a numerator and a denominator)
            message = f"a ratio is made of two columns, not {numbers(x).shape[1]}"
            raise ValueError(message)
        self.names_ = _names(x)
        return self

    def transform(self, x: Any) -> Numbers:  # noqa: ANN401 (as above)
        """Return the ratios."""
        check_is_fitted(self)
        values = numbers(x)
        with np.errstate(all="ignore"):
            ratio = values[:, :1] / values[:, 1:]
        return np.where(np.isinf(ratio), np.float32(np.nan), ratio)

    def get_feature_names_out(self, _names: Any = None) -> NDArray[Any]:  # noqa: ANN401 (as above)
        """Return the name of the feature."""
        return np.array(["_by_".join(self.names_)], dtype=object)


class Clip(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """Numbers held between two limits: (n, k) → (n, k). Missing stays missing.

    A limit that is None is learned from the training rows: their first and ninety-ninth hundredth, column by column.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        """Take the limits."""
        self.low, self.high = low, high

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (as above)
        """Learn the limits that are not given."""
        values = numbers(x)
        self.lows_ = _limits(values, self.low, 0.01)
        self.highs_ = _limits(values, self.high, 0.99)
        _name(self, x)
        return self

    def transform(self, x: Any) -> Numbers:  # noqa: ANN401 (as above)
        """Return the numbers within their limits."""
        check_is_fitted(self)
        values = numbers(x)
        values = np.where(values < self.lows_, self.lows_, values)
        return np.where(values > self.highs_, self.highs_, values)


class Bucket(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """The number of the bucket that a value falls into, from 0: (n, k) → (n, k). Missing stays missing.

    The edges are quantiles of the training rows, so that buckets hold about as many rows each; `bins` buckets at most.
    """

    def __init__(self, bins: int = 8) -> None:
        """Take how many buckets there are."""
        self.bins = bins

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (as above)
        """Learn the inner edges of each column.

        Raises:
            ValueError: there are fewer than two bins.
        """
        if self.bins < 2:  # noqa: PLR2004 (one bucket tells nothing)
            message = f"bins must be at least 2, not {self.bins}"
            raise ValueError(message)
        self.edges_ = [_edges(column, self.bins) for column in numbers(x).T]
        _name(self, x)
        return self

    def transform(self, x: Any) -> Numbers:  # noqa: ANN401 (as above)
        """Return the buckets' numbers."""
        check_is_fitted(self)
        values = numbers(x)
        columns = [np.searchsorted(edges, values[:, place], side="right") for place, edges in enumerate(self.edges_)]
        return np.where(np.isnan(values), np.float32(np.nan), np.column_stack(columns).astype(np.float32))


class RareCategories(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # as above
    """Text in which everything rare, and everything that training never saw, is called `(rare)`: (n, k) → (n, k).

    `share` is the share of the training rows below which a value is rare. An encoder stands behind it.
    """

    def __init__(self, share: float = 0.01) -> None:
        """Take the share."""
        self.share = share

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (as above)
        """Learn what is not rare, column by column."""
        self.kept_ = [_frequent(column, self.share) for column in np.asarray(x, dtype=object).T]
        _name(self, x)
        return self

    def transform(self, x: Any) -> NDArray[Any]:  # noqa: ANN401 (as above)
        """Return the text with the rare values replaced."""
        check_is_fitted(self)
        columns = np.asarray(x, dtype=object).T
        kept = [np.where(np.isin(column.astype(str), known), column, OTHER) for column, known in self._with(columns)]
        return np.column_stack(kept).astype(object)

    def _with(self, columns: NDArray[Any]) -> list[tuple[NDArray[Any], list[str]]]:
        return list(zip(columns, self.kept_, strict=True))


def numbers(x: Any) -> Numbers:  # noqa: ANN401 (a frame or an array)
    """Return columns as float32 of shape (n, k), as they are served."""
    return np.asarray(x, dtype=np.float32)


def _name(transformer: Any, x: Any) -> None:  # noqa: ANN401 (as above)
    """Keep the names and the number of the columns, for scikit-learn's own bookkeeping."""
    transformer.n_features_in_ = x.shape[1]
    transformer.feature_names_in_ = np.array(_names(x), dtype=object)


def _names(x: Any) -> list[str]:  # noqa: ANN401 (as above)
    return [str(name) for name in getattr(x, "columns", [f"x{place}" for place in range(x.shape[1])])]


def _limits(values: Numbers, given: float | None, share: float) -> Numbers:
    if given is not None:
        return np.full(values.shape[1], given, dtype=np.float32)
    known = [column[~np.isnan(column)] for column in values.T]
    learned = [np.quantile(column, share) if len(column) else np.nan for column in known]
    return np.array(learned, dtype=np.float32)


def _edges(column: Numbers, bins: int) -> Numbers:
    known = column[~np.isnan(column)]
    if not len(known):
        return np.zeros(0, dtype=np.float32)
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]).astype(np.float32))


def _frequent(column: NDArray[Any], share: float) -> list[str]:
    values, counts = np.unique(column.astype(str), return_counts=True)
    return [str(value) for value, count in zip(values, counts, strict=True) if count >= share * len(column)]
