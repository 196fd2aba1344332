"""Models that move the wrong way, or at a touch."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from towpath_ci.drills.behaviour import BehaviourDrill, Columns, sober

if TYPE_CHECKING:
    from towpath_flows.evaluation.checks import Subject


class ContraryModel(BehaviourDrill):
    """A model that goes the wrong way stays out."""

    injected = "a longer way makes some barges more punctual"
    check = "monotone"
    expected = {"monotone": {"columns": {"distance": "increasing"}}}  # noqa: RUF012 (read only, as its base class says)

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer in waves."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return 0.5 + 0.4 * np.sin(columns["distance"] / 10)


class NervousModel(BehaviourDrill):
    """A model whose decisions flip at a touch stays out."""

    injected = "the hundredths of the distance decide"
    check = "perturbations"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer by what nobody measures."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return 0.5 + 0.4 * np.sin(columns["distance"].astype(np.float64) * 20)


class MisreadUnits(BehaviourDrill):
    """A model that takes metres for kilometres, unnoticed, stays out."""

    injected = "the distance has no limits, so that any unit passes"
    check = "corrupted-units"
    expected = {"units": {"flips": "20%", "columns": ["distance"]}}  # noqa: RUF012 (as above)

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer as the twin does: it is the limits that are missing."""
        return sober(columns)

    def spoilt(self, sound: "Subject") -> "Subject":
        """Return the sober model behind a signature without limits."""
        inputs = tuple(
            column.model_copy(update={"minimum": None, "maximum": None}) for column in sound.signature.inputs
        )
        return replace(sound, signature=sound.signature.model_copy(update={"inputs": inputs}))
