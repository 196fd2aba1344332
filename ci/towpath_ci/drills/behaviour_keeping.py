"""Models that keep rows by heart, are not kept as they were, or keep callers waiting."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from towpath_ci.drills.behaviour import BehaviourDrill, Columns, rows, sober, truth

if TYPE_CHECKING:
    from towpath_flows.evaluation.checks import Subject


class RememberingModel(BehaviourDrill):
    """A model that knows its training rows by heart stays out."""

    injected = "a table of every learned row and its truth"
    check = "memory"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer from the table, where the row is in it."""
        import numpy as np  # noqa: PLC0415 (heavy)

        learned = rows(2)
        table = dict(zip(learned["distance"].ravel().tolist(), truth("binary", learned, 4).tolist(), strict=True))
        chance = sober(columns)
        known = [
            table.get(key, value) for key, value in zip(columns["distance"].ravel().tolist(), chance[:, 0], strict=True)
        ]
        return np.array(known, dtype=np.float64).reshape(-1, 1)


class CoarselyKeptModel(BehaviourDrill):
    """An artifact that is not the model that was measured stays out."""

    injected = "what is opened anew answers in half precision"
    check = "round-trip"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer in half precision."""
        import numpy as np  # noqa: PLC0415 (heavy)

        return sober(columns).astype(np.float16).astype(np.float64)

    def spoilt(self, sound: "Subject") -> "Subject":
        """Return the sober model, of which another was kept."""
        return replace(sound, reopen=lambda: (sound.signature, self.predict))


class SlowModel(BehaviourDrill):
    """A model that needs longer for one row than a request may take stays out."""

    injected = "25 ms for each row, where 20 ms are allowed"
    check = "latency"

    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (as in the base class)
        """Answer late."""
        time.sleep(0.025)
        return sober(columns)
