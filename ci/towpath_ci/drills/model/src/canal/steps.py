"""A step of this repository's own, which has no graph: drills look at how a release carries its code."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer

from canal.units import KNOT  # type: ignore[import-not-found]  # found below src/ of the drills' repository


class Wind(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Wind in knots above the lightest that training saw."""

    def fit(self, x: Any, _y: Any = None) -> Self:  # noqa: ANN401 (scikit-learn hands over frames and arrays)
        """Remember the lightest wind."""
        self.lightest_ = float(np.nanmin(np.asarray(x, dtype=float)))
        return self

    def transform(self, x: Any) -> Any:  # noqa: ANN401 (as above)
        """Return knots."""
        return (np.asarray(x, dtype=float) - self.lightest_) / KNOT


def build() -> ColumnTransformer:
    """Return the transformer, unfitted."""
    return ColumnTransformer([("wind", Wind(), ["wind"]), ("rest", "passthrough", ["distance", "locks"])])
