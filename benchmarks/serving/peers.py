"""Who is measured: what each needs, how it is started, and how it is asked."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

from serving.environments import python_with
from serving.model import NAMES, Made, body, matrix

SERVERS: Final = Path(__file__).parent / "servers"


def _as_here(*names: str) -> tuple[str, ...]:
    """Return pins of the versions that are installed here: trees, runtime and arrays are the same for all."""
    return tuple(f"{name}=={metadata.version(name)}" for name in names)


@dataclass(frozen=True)
class Peer:
    """A server. `command` may hold {port} and {folder}; `prepare` is a script that runs before it, where it runs."""

    name: str
    command: str
    path: str
    request: Callable[[Made, int], bytes]
    requirements: tuple[str, ...] | None = None  # None: this very environment
    prepare: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)

    def python(self) -> Path:
        """Return the Python that runs it, installed where it is not yet."""
        if self.requirements is None:
            return Path(sys.executable)
        return python_with(self.name.partition(",")[0].replace(" ", "-").lower(), self.requirements)


def _rows(made: Made, rows: int) -> bytes:
    return matrix(made, rows, "rows")


def _frame(made: Made, rows: int) -> bytes:
    columns = {name: made.rows[:rows, place].astype(float).tolist() for place, name in enumerate(NAMES)}
    return json.dumps({"rows": columns}).encode()


def _split(made: Made, rows: int) -> bytes:
    data = made.rows[:rows].astype(float).tolist()
    return json.dumps({"dataframe_split": {"columns": NAMES, "data": data}}).encode()


def _v2(made: Made, rows: int) -> bytes:
    data = made.rows[:rows].astype(float).ravel().tolist()
    part = {"name": "x", "shape": [rows, len(NAMES)], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [part]}).encode()


_TREES: Final = _as_here("xgboost", "numpy", "scipy")

TOWPATH: Final = "Towpath, lanes, metrics and journal on"
BARE: Final = "bare uvicorn, msgspec, onnxruntime"

PEERS: Final = (
    Peer(
        TOWPATH,
        "python -m towpath_bento --service {folder}/bento/service.py --port {port}",
        "/v1/predict",
        body,
        variables={"TOWPATH_POINTER": "{folder}/pointer.json"},
    ),
    Peer(
        BARE,
        "uvicorn bare_asgi:app --port {port} --no-access-log --log-level warning",
        "/",
        body,
        ("uvicorn[standard]==0.54.0", *_as_here("msgspec", "onnxruntime", "numpy")),
    ),
    Peer(
        "bare Granian, msgspec, onnxruntime",
        "granian --interface rsgi --port {port} --log-level error bare_rsgi:app",
        "/",
        body,
        ("granian==2.8.9", "uvloop==0.22.1", *_as_here("msgspec", "onnxruntime", "numpy")),
    ),
    Peer(
        "FastAPI, inplace_predict",
        "uvicorn fastapi_inplace:app --port {port} --no-access-log --log-level warning",
        "/predict",
        body,
        ("fastapi==0.150.0", "uvicorn[standard]==0.54.0", *_TREES),
    ),
    Peer(
        "BentoML native api, list",
        "bentoml serve bento_list:Model --port {port} --host 127.0.0.1",
        "/predict",
        _rows,
        (*_as_here("bentoml"), *_TREES),
        variables={"BENTOML_HOME": "{folder}/bentoml-list", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        "BentoML native api, DataFrame",
        "bentoml serve bento_frame:Model --port {port} --host 127.0.0.1",
        "/predict",
        _frame,
        (*_as_here("bentoml", "pandas", "pyarrow"), *_TREES),
        variables={"BENTOML_HOME": "{folder}/bentoml-frame", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer("LitServe", f"python {SERVERS / 'lit.py'} {{port}}", "/predict", _rows, ("litserve==0.2.19", *_TREES)),
    Peer(
        "MLServer",
        "mlserver start {folder}/mlserver",
        "/v2/models/bench/infer",
        _v2,
        ("mlserver==1.7.1", "mlserver-xgboost==1.7.1", *_TREES),
        prepare="save_mlserver.py",
        variables={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "0", "MLSERVER_METRICS_PORT": "0"},
    ),
    Peer(
        "mlflow models serve, DataFrame",
        "mlflow models serve --model-uri {folder}/mlflow --port {port} --env-manager local --workers 1",
        "/invocations",
        _split,
        (*_as_here("mlflow", "pandas"), *_TREES),
        prepare="save_mlflow.py",
    ),
)
