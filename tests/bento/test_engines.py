import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from towpath_bento.engines import open_engine
from towpath_bento.wire import Codec
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.records.signature import Column, Signature

INPUTS = (Column(name="x", type="number", nullable=True), Column(name="kind", type="string", nullable=True))
SIGNATURE = Signature(task="binary", target="y", classes=("no", "yes"), inputs=INPUTS, engine="native")


@pytest.fixture
def table() -> tuple[Any, dict[str, np.ndarray], np.ndarray]:
    """Columns as a frame, as an engine takes them, and a target."""
    generator = np.random.default_rng(7)
    x = generator.random(400).astype(np.float32)
    x[::9] = np.nan
    frame = pd.DataFrame({"x": x, "kind": np.array(["a", "b", "c", ""], object)[generator.integers(0, 4, 400)]})
    columns = {name: frame[name].to_numpy().reshape(-1, 1) for name in frame}
    return frame, columns, ((np.nan_to_num(x) > 0.5) ^ (frame["kind"] == "a")).to_numpy().astype(int)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_onnx_answers_what_the_graph_says(tiny: Callable[..., Any], task: str, *, apart: bool) -> None:
    """The numbers are those computed by hand, from a graph with two inputs and from an older one with one a column."""
    made = tiny(task=task, bias=0.25, apart=apart)
    case = json.loads((made.folder / "golden.json").read_text())["cases"][0]
    request = Codec(made.signature).decode(json.dumps({"rows": case["rows"]}).encode())
    found = open_engine(made.folder, made.signature).predict(request.columns)
    np.testing.assert_allclose(found, case["expected"], atol=1e-6)


@pytest.mark.parametrize("apart", [False, True])
def test_onnx_takes_columns_one_by_one_as_well(tiny: Callable[..., Any], *, apart: bool) -> None:
    """Training's columns, each an array of its own in any order, give the very answers of the same request's arrays."""
    made = tiny(apart=apart)
    engine = open_engine(made.folder, made.signature)
    rows = json.loads((made.folder / "golden.json").read_text())["cases"][0]["rows"]
    request = Codec(made.signature).decode(json.dumps({"rows": rows}).encode())
    columns = {name: request.columns[name].copy() for name in reversed(list(request.columns))}
    np.testing.assert_array_equal(engine.predict(columns), engine.predict(request.columns))


@pytest.mark.parametrize("name", ["numbers", "x"])
def test_a_column_may_be_called_like_an_array(tmp_path: Path, name: str) -> None:
    """A graph with one input is read as what its shape says: that column, or the array of all numbers."""
    names = ["numbers", "x"]
    signature = SIGNATURE.model_copy(
        update={
            "engine": "onnx",
            "task": "regression",
            "inputs": tuple(Column(name=each, type="number") for each in names),
        }
    )
    width = 1 if name == "numbers" else 2
    given = helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, width])
    place = onnx.numpy_helper.from_array(np.array([width - 1], np.int64), "place")
    node = helper.make_node("Gather", ["numbers", "place"], ["y"], axis=1)
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    made = helper.make_graph([node], "g", [given], [answer], [place])
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "model.onnx"
    )
    request = Codec(signature).decode(b'{"rows":[{"numbers":1.5,"x":2.5}]}')
    found = open_engine(tmp_path, signature).predict(request.columns)
    assert found.tolist() == [[{"numbers": 1.5, "x": 2.5}[name]]]


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_native_answers_what_the_estimator_does(tmp_path: Path, table: tuple[Any, ...], framework: str) -> None:
    """Pipeline and booster from files agree exactly with the fitted estimator, missing and unseen values included."""
    frame, columns, target = table
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    pipeline = ColumnTransformer([("n", "passthrough", ["x"]), ("k", encoder, ["kind"])]).fit(frame)
    skops.io.dump(pipeline, tmp_path / "pipeline.skops")
    matrix = np.asarray(pipeline.transform(frame))
    if framework == "xgboost":
        estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=0.9)
        estimator.fit(matrix, target, eval_set=[(matrix[:50], 1 - target[:50])], verbose=False)
        estimator.get_booster().save_model(tmp_path / "booster.ubj")
        expected = estimator.predict_proba(matrix)[:, 1:]
    else:
        estimator = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1)
        estimator.fit(matrix, target)
        estimator.booster_.save_model(tmp_path / "booster.txt")
        expected = estimator.booster_.predict(matrix).reshape(-1, 1)
    found = open_engine(tmp_path, SIGNATURE).predict(columns)
    assert found.shape == (400, 1)
    np.testing.assert_array_equal(found, expected)


class Bomb:
    """Writes a canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        """Name the file to be written."""
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        """Call `touch` when read."""
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("name", ["pipeline.skops", "booster.ubj", "booster.txt", "model.onnx"])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str) -> None:
    """A pickle in place of any file of a model is refused, and what it would do is not done."""
    canary = tmp_path / "canary"
    folder = tmp_path / "artifact"
    folder.mkdir()
    for other in ("pipeline.skops", "booster.ubj"):
        (folder / other).write_bytes(b"")
    if name == "booster.txt":
        (folder / "booster.ubj").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    engine = "onnx" if name.endswith("onnx") else "native"
    if name.startswith("booster"):
        _write_empty_pipeline(folder / "pipeline.skops")
    with pytest.raises(InvalidFileError):
        open_engine(folder, SIGNATURE.model_copy(update={"engine": engine}))
    assert not canary.exists()


def test_a_pipeline_with_foreign_types_is_named_and_refused(tmp_path: Path) -> None:
    """Skops would import what a file names: only our own list and scikit-learn's estimators may be named."""
    skops.io.dump(FunctionTransformer(os.system), tmp_path / "pipeline.skops")
    (tmp_path / "booster.txt").touch()
    with pytest.raises(InvalidFileError, match="not trusted") as caught:
        open_engine(tmp_path, SIGNATURE)
    assert ".system" in caught.value.why


def test_missing_files_are_named(tmp_path: Path) -> None:
    """An artifact without its model says which file it lacks."""
    with pytest.raises(NotFoundError, match="booster"):
        open_engine(tmp_path, SIGNATURE)
    with pytest.raises(NotFoundError, match=r"model\.onnx"):
        open_engine(tmp_path, SIGNATURE.model_copy(update={"engine": "onnx"}))


@pytest.mark.parametrize(("apart", "named"), [(False, "numbers"), (True, "distance km")])
def test_a_graph_of_another_signature_is_refused(tiny: Callable[..., Any], named: str, *, apart: bool) -> None:
    """A graph whose inputs are not the signature's columns is refused before it could answer nonsense."""
    made = tiny(apart=apart)
    other = made.signature.model_copy(update={"inputs": made.signature.inputs[1:]})
    with pytest.raises(InvalidFileError, match="does not fit") as caught:
        open_engine(made.folder, other)
    assert named in caught.value.why


def test_a_classifier_without_probabilities_is_refused(tmp_path: Path) -> None:
    """A graph that answers labels only cannot serve."""
    nodes = [helper.make_node("Identity", ["x"], ["label"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "label")]
    made = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "model.onnx"
    )
    signature = SIGNATURE.model_copy(update={"engine": "onnx", "inputs": INPUTS[:1]})
    with pytest.raises(InvalidFileError, match="no probabilities"):
        open_engine(tmp_path, signature)


def test_engines_do_without_bentoml() -> None:
    """Training uses the engines that serve: importing them brings neither BentoML nor a training library."""
    code = "import sys, towpath_bento.engines; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"bentoml", "xgboost", "lightgbm", "sklearn", "pandas", "onnxruntime"} & set(loaded)


def _write_empty_pipeline(path: Path) -> None:
    skops.io.dump(FunctionTransformer(), path)
