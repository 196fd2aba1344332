"""BentoML's native api, rows as a DataFrame."""

import os
from pathlib import Path

import bentoml
import pandas as pd
import xgboost


@bentoml.service(workers=1)
class Model:
    """The booster, asked with a DataFrame."""

    def __init__(self) -> None:
        """Open the booster."""
        self.booster = xgboost.Booster(model_file=Path(os.environ["BENCH_MODEL"]) / "booster.ubj")
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def predict(self, rows: pd.DataFrame) -> list[float]:
        """Return a probability for each row."""
        answers: list[float] = self.booster.inplace_predict(rows.astype("float32")).tolist()
        return answers
