"""Write the booster as an MLflow model, for `mlflow models serve`."""

import os
from pathlib import Path

import mlflow.xgboost
import xgboost

folder = Path(os.environ["BENCH_MODEL"])
booster = xgboost.Booster(model_file=folder / "booster.ubj")
booster.set_param({"nthread": 1})
if not (folder / "mlflow").exists():
    mlflow.xgboost.save_model(booster, folder / "mlflow", model_format="ubj")
