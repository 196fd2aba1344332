"""Models whose answers are not what their task promises, or not the same twice."""

from dataclasses import dataclass, field
from typing import Any

from towpath_ci.drills.behaviour import BehaviourDrill, Columns, sober


class MisshapenAnswers(BehaviourDrill):
    """A model that answers both probabilities where callers expect one stays out."""

    injected = "two columns of probabilities instead of one"
    check = "shape"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer the chance of both classes."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return np.hstack([1 - sober(columns), sober(columns)])


class RawScores(BehaviourDrill):
    """A model that lost its link function on the way out stays out."""

    injected = "log odds instead of probabilities"
    check = "range"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer log odds."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return np.log(sober(columns) / (1 - sober(columns)))


class DeafModel(BehaviourDrill):
    """A model that says the same to everybody stays out."""

    injected = "the base rate for every row"
    check = "variation"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer the same, whatever is asked."""
        return sober(columns) * 0 + 0.3


@dataclass
class MoodyModel(BehaviourDrill):
    """A model that answers the same request differently stays out."""

    injected = "noise that differs from call to call"
    check = "determinism"
    calls: list[int] = field(default_factory=list)

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer a little more each time."""
        self.calls.append(1)
        return sober(columns) * (1 - 1e-3 * len(self.calls))


class QueueingModel(BehaviourDrill):
    """A model that looks at a row's place in the request stays out."""

    injected = "the number of the row as a feature"
    check = "row-order"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer more to whoever comes later."""
        import numpy as np  # noqa: PLC0415 (heavy)

        chance = sober(columns)
        return chance * np.linspace(0.5, 1, len(chance))[:, None]


class CompanyModel(BehaviourDrill):
    """A model that looks at the other rows of a request stays out."""

    injected = "scaled by the mean of whatever was sent together"
    check = "single-rows"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer relative to the company."""
        chance = sober(columns)
        return 0.5 + (chance - chance.mean()) / 4


class PlacedColumns(BehaviourDrill):
    """A model that tells columns apart by their place stays out."""

    injected = "columns are read in the order in which they are sent"
    check = "column-order"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer by the first number that is sent, which is taken for the distance."""
        first = next(values for values in columns.values() if values.dtype != object)
        return sober({**columns, "distance": first})


class ForbiddenColumn(BehaviourDrill):
    """A model that listens to what must not matter stays out."""

    injected = "the night counts, and must not"
    check = "ignored-columns"
    expected = {"ignored": ["night"]}  # noqa: RUF012 (read only, as its base class says)

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer more at night."""
        return sober(columns) * (1 - 0.1 * columns["night"])
