"""Write the folder that MLServer serves the booster from."""

import json
import os
import shutil
from pathlib import Path

folder = Path(os.environ["BENCH_MODEL"])
place = folder / "mlserver"
place.mkdir(exist_ok=True)
shutil.copy(folder / "booster.ubj", place / "booster.ubj")
settings = {
    "name": "bench",
    "implementation": "mlserver_xgboost.XGBoostModel",
    "parameters": {"uri": str(place / "booster.ubj")},
}
(place / "model-settings.json").write_text(json.dumps(settings))
(place / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False}))
