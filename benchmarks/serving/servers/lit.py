"""LitServe, as its pages teach it."""

import os
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import xgboost


class Model(litserve.LitAPI):
    """The booster."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe names it)
        """Open the booster."""
        self.booster = xgboost.Booster(model_file=Path(os.environ["BENCH_MODEL"]) / "booster.ubj")
        self.booster.set_param({"nthread": 1})

    def decode_request(self, request: dict[str, Any]) -> np.ndarray[Any, Any]:
        """Return the rows of a request."""
        return np.array(request["rows"], np.float32)

    def predict(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return a probability for each row."""
        answers: np.ndarray[Any, Any] = self.booster.inplace_predict(x)
        return answers

    def encode_response(self, output: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return the answer."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=1)
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, log_level="error")
