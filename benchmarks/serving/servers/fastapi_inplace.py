"""FastAPI as its pages teach it: a pydantic model of the request, and the booster's own `inplace_predict`."""

import os
from pathlib import Path

import numpy as np
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel, create_model

NAMES = [f"f{number}" for number in range(30)]
Row = create_model("Row", **dict.fromkeys(NAMES, (float | None, None)))  # type: ignore[call-overload]  # made of names

booster = xgboost.Booster(model_file=Path(os.environ["BENCH_MODEL"]) / "booster.ubj")
booster.set_param({"nthread": 1})
app = FastAPI()


class Body(BaseModel):
    """A request."""

    rows: list[Row]  # type: ignore[valid-type]  # made just above


class Answer(BaseModel):
    """What comes back."""

    predictions: list[float]


@app.post("/predict")
async def predict(body: Body) -> Answer:
    """Return a probability for each row."""
    rows = [[getattr(row, name) for name in NAMES] for row in body.rows]
    return Answer(predictions=booster.inplace_predict(np.array(rows, np.float32)).tolist())
