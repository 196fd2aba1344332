"""BentoML's native api, rows as a list of lists."""

import os
from pathlib import Path

import bentoml
import numpy as np
import xgboost


@bentoml.service(workers=1)
class Model:
    """The booster, as BentoML's quickstart serves one."""

    def __init__(self) -> None:
        """Open the booster."""
        self.booster = xgboost.Booster(model_file=Path(os.environ["BENCH_MODEL"]) / "booster.ubj")
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        """Return a probability for each row."""
        answers: list[float] = self.booster.inplace_predict(np.array(rows, np.float32)).tolist()
        return answers
