"""What every server serves: 300 trees of depth 6 over 30 numbers, as a release, a booster and a bare graph."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from towpath_flows.data import load, split, validate
from towpath_flows.project import Project
from towpath_flows.training import TuneResult, export, fit
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.pointer import LanePointer, Pointer, Split
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

FEATURES: Final = 30
ROWS: Final = 20_000
TREES: Final = 300
NAMES: Final = [f"f{number}" for number in range(FEATURES)]

SPEC = """\
name: bench
task: binary
target: y
data:
  train: {file: data.parquet}
schema: bench.schema:Rows
train: {frameworks: [xgboost], seed: 7}
tune: {trials: 0}
"""
SERVICE = """\
from towpath_bento.server import model_server

service = model_server("bench")
"""


@dataclass(frozen=True)
class Made:
    """A folder with `artifact/`, `booster.ubj`, `bare.onnx`, `bento/service.py` and `pointer.json`; and rows to ask."""

    folder: Path
    rows: np.ndarray[Any, np.dtype[np.float32]]  # (n, FEATURES)
    answers: np.ndarray[Any, np.dtype[np.float64]]  # (n,), what the booster says


def make(folder: Path) -> Made:
    """Train the model once and write what each server needs."""
    model, frame, exported = _trained(folder)
    booster = model.estimator.get_booster()
    booster.save_model(folder / "booster.ubj")
    _write_bare(booster, folder / "bare.onnx")
    _write_release(folder, exported.folder, exported.signature)
    rows = frame[NAMES].to_numpy(np.float32)[-1000:]
    return Made(folder, rows, model.estimator.predict_proba(rows)[:, 1].astype(np.float64))


def body(made: Made, rows: int) -> bytes:
    """Return a request of `rows` rows as Towpath and the bare servers take it: objects with a value for each name."""
    found = [dict(zip(NAMES, map(float, row), strict=True)) for row in made.rows[:rows]]
    return json.dumps({"rows": found}, separators=(",", ":")).encode()


def matrix(made: Made, rows: int, name: str, **more: object) -> bytes:
    """Return a request of `rows` rows as lists of numbers below `name`."""
    return json.dumps({name: made.rows[:rows].astype(float).tolist(), **more}, separators=(",", ":")).encode()


def _trained(folder: Path) -> tuple[Any, pd.DataFrame, Any]:
    root = folder / "repository"
    (root / "src" / "bench").mkdir(parents=True)
    (root / "model.yaml").write_text(SPEC)
    (root / "src" / "bench" / "__init__.py").touch()
    lines = ["import pandera.pandas as pa", "", "", "class Rows(pa.DataFrameModel):"]
    lines += [f"    {name}: float = pa.Field(nullable=True)" for name in NAMES] + ["    y: bool"]
    (root / "src" / "bench" / "schema.py").write_text("\n".join(lines) + "\n")
    random = np.random.default_rng(7)
    frame = pd.DataFrame(random.normal(size=(ROWS, FEATURES)).astype(np.float32).astype(float), columns=NAMES)
    frame["y"] = frame["f0"] * frame["f1"] + np.sin(3 * frame["f2"]) + frame["f3"] + random.normal(size=ROWS) > 0
    frame.to_parquet(root / "data.parquet", index=False)
    sys.path.insert(0, str(root / "src"))
    project = Project.open(root)
    parts = split(project, validate(project, load(project)).frame)
    params = {"max_depth": 6, "learning_rate": 0.1}
    model = fit(project, parts, TuneResult("xgboost", params, None, (), TREES))
    return model, parts.test, export(model, parts, folder / "artifact")


def _write_bare(booster: Any, path: Path) -> None:  # noqa: ANN401 (XGBoost has no types)
    """Write the trees alone as a graph with one input, as one converts a booster by hand."""
    booster.feature_names = None
    graph = convert_xgboost(booster, initial_types=[("x", FloatTensorType([None, FEATURES]))], target_opset=15)
    path.write_bytes(graph.SerializeToString())


def _write_release(folder: Path, artifact: Path, signature: Signature) -> None:
    """Write the service's code, and a pointer to two releases of the same artifact, as champion and challenger."""
    first, second = (_lane(artifact, signature, version) for version in (1, 2))
    pointer = Pointer(
        model="bench",
        environment="bench",
        generation=1,
        lanes={"champion": first, "challenger": second},
        split=Split(mode="ab", share=0.5, salt="bench"),
    )
    (folder / "pointer.json").write_text(pointer.model_dump_json(by_alias=True))
    (folder / "bento").mkdir()
    (folder / "bento" / "service.py").write_text(SERVICE)


def _lane(artifact: Path, signature: Signature, version: int) -> LanePointer:
    nothing = "sha256:" + "0" * 64
    release = Release(
        model="bench",
        version=version,
        semver=f"1.0.{version}",
        artifact=manifest_digest(artifact),
        schema=signature.digest,
        data=nothing,
        code="0" * 40,
    )
    return LanePointer(release=release.id, artifact=release.artifact, path=str(artifact))
