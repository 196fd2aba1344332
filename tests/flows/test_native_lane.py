"""What has no graph goes the whole way in the native lane: trained, registered with the reason, packaged, served."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from towpath_bento.package import package
from towpath_flows.data import load, split, validate
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.project import Project
from towpath_flows.registration import Training, register
from towpath_flows.training import TuneResult, export, fit
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training_spec import Framework
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

# A logarithm of a filled column: scikit-learn and NumPy know it, the converters do not.
FEATURES = '''\
"""An owner's own features."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder


def build():
    """Return the transformer."""
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    size = make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p, feature_names_out="one-to-one"))
    rest = ("rest", "passthrough", ["items"])
    return ColumnTransformer([("size", size, ["amount"]), ("words", words, ["country"]), rest])
'''
OWN = '''

def doubled(x):
    """A function that nobody but this repository knows."""
    return x * 2


def build_own():
    """Return a transformer that cannot be kept."""
    return ColumnTransformer([("own", FunctionTransformer(doubled), ["amount"])])
'''


def with_features(project: Project, function: str) -> Project:
    """Write the owner's features and let model.yaml name one of its functions."""
    (project.root / "src" / "shop" / "features.py").write_text(FEATURES + OWN)
    path = project.root / "model.yaml"
    path.write_text(path.read_text() + f"features: shop.features:{function}\n")
    return Project.open(project.root)


def released(project: Project, framework: Framework) -> Release:
    """Train and register, as the stages do."""
    table = load(project)
    parts = split(project, validate(project, table).frame)
    model = fit(project, parts, TuneResult(framework, TRAINERS[framework].defaults(), None, ()))
    exported = export(model, parts, layout.state(project.root, "training") / "model")
    assert exported.signature.engine == "native"
    training = Training(
        model=project.spec.name,
        folder=exported.folder,
        signature=exported.signature,
        code=Repository.discover(project.root).head(),
        data=table.digest,
        source=table.source,
        window=(datetime(2026, 1, 1, tzinfo=UTC), None),
        params=dict(model.params),
        rows=len(table.frame),
    )
    return register(project.root, training, [Assessment(Kind.PARITY, tuple(exported.parity), exported.details)])


@contextmanager
def serving(bento: Path, scratch: Path) -> Iterator[httpx.Client]:
    """Serve a Bento, and give a client when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}
    environment |= {"BENTOML_HOME": str(scratch / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--port", str(port)]
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=scratch, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            while not _is_ready(client):
                assert process.poll() is None, (scratch / "log").read_text()[-2000:]
                time.sleep(0.2)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_from_training_to_an_answer(published: Project, commit: Callable[[Path, str], None], tmp_path: Path) -> None:
    """The evidence says why no graph serves; the Bento holds the training libraries it needs, no pickle, no graph.

    It answers its golden requests as training recorded them.
    """
    project = with_features(published, "build")
    commit(project.root, "Features of our own")
    release = released(project, "lightgbm")
    registry = Registry(layout.tracking_uri(project.root))
    parity = registry.evidence(release)[Kind.PARITY]
    assert parity.verdict is Verdict.PASS
    assert any("native engine serves, slowly: no graph can be made" in finding.message for finding in parity.findings)
    artifact = registry.fetch(release, layout.store(project.root).absolute())
    code = tmp_path / "bento"
    code.mkdir()
    (code / "service.py").write_text(
        'from towpath_bento.server import model_server\n\nservice = model_server("returns")\n'
    )
    packed = package(release, artifact, code, tmp_path / "bentos")
    needed = {pin.partition("==")[0] for pin in packed.requirements}
    assert {"scikit-learn", "skops", "lightgbm"} <= needed
    assert not {"onnxruntime", "mlflow", "prefect"} & needed
    held = [path.name for path in packed.folder.rglob("*") if path.is_file()]
    assert "pipeline.skops" in held
    assert not [name for name in held if name.endswith((".pkl", ".pickle", ".joblib", ".onnx"))]
    golden = parse_json((artifact / GOLDEN).read_bytes(), Golden, source=GOLDEN)
    with serving(packed.folder, tmp_path) as client:
        assert client.get("/version").json()["release"] == release.id
        for case in golden.cases:
            answer = client.post("/v1/predict", json={"rows": list(case.rows)})
            assert answer.status_code == 200, answer.text
            told = [prediction["probability"] for prediction in answer.json()["predictions"]]
            assert told == pytest.approx([values[0] for values in case.expected], abs=1e-6)


def test_what_the_native_lane_cannot_open_is_refused_in_training(project: Project, tmp_path: Path) -> None:
    """A function of the owner's own would have to be imported wherever the model is opened: it is refused, with why."""
    own = with_features(project, "build_own")
    parts = split(own, validate(own, load(own)).frame)
    model = fit(own, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))
    with pytest.raises(TrainingError, match="served by no engine") as told:
        export(model, parts, tmp_path / "artifact")
    assert "shop.features.doubled" in told.value.why
    assert not (tmp_path / "artifact" / "pipeline.skops").exists()
