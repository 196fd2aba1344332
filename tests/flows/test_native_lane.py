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
from towpath_gitops.errors import DigestMismatchError, TrainingError
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.evidence import OWN_CODE, Kind, Verdict
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

# A logarithm of a filled column: scikit-learn and NumPy know it, the converters do not. And a class of the owner's own.
FEATURES = '''\
"""An owner's own features."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from shop.prices import dearer


class Above(TransformerMixin, BaseEstimator):
    """How far above the median."""

    def fit(self, x, y=None):
        self.median_ = np.nanmedian(np.asarray(x, float), axis=0)
        return self

    def transform(self, x):
        return dearer(np.asarray(x, float), self.median_)


def build():
    """Return the transformer."""
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    size = make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p, feature_names_out="one-to-one"))
    rest = ("rest", "passthrough", ["items"])
    own = [("above", Above(), ["amount"]), ("dear", FunctionTransformer(dearer), ["items"])]
    return ColumnTransformer([("size", size, ["amount"]), ("words", words, ["country"]), rest, *own])


def build_hidden():
    """Return a transformer with a function that has no name."""
    return ColumnTransformer([("own", FunctionTransformer(lambda x: x * 2), ["amount"])])
'''
PRICES = '''\
"""What is dear."""


def dearer(x, than=3.0):
    """Return the difference."""
    return x - than
'''


def with_features(project: Project, function: str) -> Project:
    """Write the owner's features and let model.yaml name one of its functions."""
    (project.root / "src" / "shop" / "features.py").write_text(FEATURES)
    (project.root / "src" / "shop" / "prices.py").write_text(PRICES)
    path = project.root / "model.yaml"
    path.write_text(path.read_text() + f"features: shop.features:{function}\n")
    return Project.open(project.root)


def released(project: Project, framework: Framework) -> Release:
    """Train and register, as the stages do."""
    table = load(project)
    parts = split(project, validate(project, table).frame)
    model = fit(project, parts, TuneResult(framework, TRAINERS[framework].defaults(), None, ()))
    exported = export(model, parts, layout.state(project.root, "training") / "model", project.root / "src")
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
    """The evidence says why no graph serves and which code of the owner's runs; both paths read rows alike.

    The Bento holds the training libraries and the modules that it needs, and no others, no pickle and no graph. It
    answers its golden requests as training recorded them, far from the repository.
    """
    project = with_features(published, "build")
    commit(project.root, "Features of our own")
    release = released(project, "lightgbm")
    registry = Registry(layout.tracking_uri(project.root))
    parity = registry.evidence(release)[Kind.PARITY]
    assert parity.verdict is Verdict.PASS
    assert any("native engine serves, slowly: no graph can be made" in finding.message for finding in parity.findings)
    assert next(found for found in parity.findings if found.gate == "training-serving skew").verdict is Verdict.PASS
    own = next(found for found in parity.findings if found.gate == OWN_CODE)
    assert own.message.startswith("shop.features.Above, shop.prices.dearer run wherever it is served")
    assert set(parity.details["code"]) == {"shop/__init__.py", "shop/features.py", "shop/prices.py"}
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
    assert {"pipeline.skops", "features.py", "prices.py"} <= set(held)
    assert "schema.py" not in held
    assert not [name for name in held if name.endswith((".pkl", ".pickle", ".joblib", ".onnx"))]
    golden = parse_json((artifact / GOLDEN).read_bytes(), Golden, source=GOLDEN)
    with serving(packed.folder, tmp_path) as client:
        assert client.get("/version").json()["release"] == release.id
        for case in golden.cases:
            answer = client.post("/v1/predict", json={"rows": list(case.rows)})
            assert answer.status_code == 200, answer.text
            told = [prediction["probability"] for prediction in answer.json()["predictions"]]
            assert told == pytest.approx([values[0] for values in case.expected], abs=1e-6)


@pytest.mark.parametrize(
    ("function", "change", "reason"),
    [
        ("build_hidden", ("", ""), "<lambda>"),
        ("build", ("import numpy as np", "import numpy as np\nimport towpath_flows.stages"), "no service carries"),
        ("build", ("return x - than", "return x - than\n\n\ndearer.__module__ = 'elsewhere'"), "elsewhere.dearer"),
    ],
)
def test_what_the_native_lane_cannot_open_is_refused_in_training(
    project: Project, tmp_path: Path, function: str, change: tuple[str, str], reason: str
) -> None:
    """A function without a name, or one that cannot be imported wherever the model is opened: refused, with why."""
    own = with_features(project, function)
    for name in ("features.py", "prices.py"):
        path = project.root / "src" / "shop" / name
        path.write_text(path.read_text().replace(*change))
    parts = split(own, validate(own, load(own)).frame)
    model = fit(own, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))
    with pytest.raises(TrainingError, match="served by no engine") as told:
        export(model, parts, tmp_path / "artifact", own.root / "src")
    assert reason in told.value.why
    assert not (tmp_path / "artifact" / "pipeline.skops").exists()
    assert not (tmp_path / "artifact" / "code").exists()


def test_code_that_is_not_committed_is_not_registered(published: Project, commit: Callable[[Path, str], None]) -> None:
    """A module that git ignores is carried by the model and held by no commit: nobody could have reviewed it."""
    (published.root / ".git" / "info" / "exclude").write_text("prices.py\n")
    project = with_features(published, "build")
    commit(project.root, "Features of our own, half of them")
    with pytest.raises(DigestMismatchError, match=r"src/shop/prices\.py that is not the one of commit"):
        released(project, "xgboost")
