"""Models that break on what callers send sooner or later."""

from typing import Any

from towpath_ci.drills.behaviour import BehaviourDrill, Columns, sober
from towpath_gitops.records.signature import Task


class UnimputedModel(BehaviourDrill):
    """A model that has no answer to a missing value stays out."""

    injected = "a missing wind makes the answer missing"
    check = "missing-values"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Let a gap pass through."""
        return sober(columns) + 0 * columns["wind"]


class ClosedModel(BehaviourDrill):
    """A model that has no answer to a new category stays out."""

    injected = "an encoder that raises on skippers that it does not know"
    check = "unseen-categories"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Raise for whom nobody knows."""
        if not all(str(name).startswith("skipper ") for name in columns["skipper"].ravel()):
            message = "unknown category"
            raise ValueError(message)
        return sober(columns)


class OverflowingModel(BehaviourDrill):
    """A model that overflows at the ends of what its schema allows stays out."""

    injected = "a power of the wind, which has no limit in the schema"
    check = "extremes"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer through a float32 that overflows."""
        import numpy as np  # noqa: PLC0415 (heavy)

        with np.errstate(all="ignore"):
            power = np.nan_to_num(columns["wind"]).astype(np.float32) ** np.float32(6)
        return sober(columns) + np.where(np.isfinite(power), 0, np.nan)


class LogarithmicModel(BehaviourDrill):
    """A model that breaks on the limit itself stays out."""

    injected = "the logarithm of a wind that may be 0"
    check = "boundaries"
    task: Task = "regression"  # type: ignore[misc]  # a class variable, as in the base class

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer by a logarithm."""
        import numpy as np  # noqa: PLC0415 (heavy)

        with np.errstate(divide="ignore"):
            return 100 * sober(columns) + np.log(np.nan_to_num(columns["wind"], nan=1.0))


class ExtrapolatingModel(BehaviourDrill):
    """A model that follows an outlier out of all proportion stays out."""

    injected = "a polynomial of the wind"
    check = "outliers"
    task: Task = "regression"  # type: ignore[misc]  # as above

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer by a power."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return 100 * sober(columns) + (np.nan_to_num(columns["wind"]) / 20) ** 6
