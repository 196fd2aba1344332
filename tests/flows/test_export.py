"""One graph answers as the model does; where it cannot, the native parts do; the bytes are always the same."""

import io
import runpy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from towpath_bento.columns import Places
from towpath_bento.engines import open_engine
from towpath_bento.lane import load as load_lane
from towpath_flows.data import Splits, load, split, validate
from towpath_flows.project import Project
from towpath_flows.spec import Framework
from towpath_flows.training import Exported, Features, Model, TuneResult, export, fit, tune
from towpath_flows.training.features import engine_columns
from towpath_flows.training.graph import to_graph
from towpath_flows.training.parity import Parity, compare_answers, with_probes
from towpath_flows.training.preparation import prepare
from towpath_flows.training.reference import PART, PREDICTION, TARGET
from towpath_flows.training.safekeeping import foreign_types, to_skops
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.artifact import manifest, manifest_digest
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LanePointer
from towpath_gitops.records.signature import Signature

New = Callable[..., Project]
# The schema of the shop, from the helpers of these tests.
SCHEMA = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["SCHEMA"]


def pointer(folder: Path) -> LanePointer:
    """Point at an artifact as a service does."""
    return LanePointer(release="sha256:" + "0" * 64, artifact=manifest_digest(folder), path=str(folder))


def refitted(model: Model, splits: Splits, transformer: ColumnTransformer) -> Model:
    """Return a model with another transformer, fitted anew."""
    x, y = Features(model.signature).prepare(splits.train)
    pipeline = transformer.fit(x, y)
    estimator = model.estimator.__class__(**model.estimator.get_params()).fit(pipeline.transform(x), y)
    return Model(model.framework, pipeline, estimator, model.params, model.rounds, model.signature)


def project_for(new_project: New, framework: Framework, task: str, target: str) -> Project:
    """Return a project with one framework and another task."""
    project = new_project()
    update = {
        "task": task,
        "target": target,
        "exclude": ("refund_days", "returned") if target != "returned" else ("refund_days",),
    }
    train = project.spec.train.model_copy(update={"frameworks": (framework,)})
    return Project(project.root, project.spec.model_copy(update={**update, "train": train}))


@pytest.mark.parametrize("framework", get_args(Framework))
@pytest.mark.parametrize(
    ("task", "target"), [("binary", "returned"), ("multiclass", "country"), ("regression", "items")]
)
def test_every_task_becomes_one_graph(
    new_project: New, tmp_path: Path, framework: Framework, task: str, target: str
) -> None:
    """The graph agrees with the model on every test row, on gaps and on strings that training never saw."""
    project = project_for(new_project, framework, task, target)
    parts = split(project, validate(project, load(project)).frame)
    model = fit(project, parts, TuneResult(framework, TRAINERS[framework].defaults(), None, ()))
    exported = export(model, parts, tmp_path / "model")
    assert exported.details["engine"] == "onnx", exported.details
    assert {finding.verdict for finding in exported.parity} == {Verdict.PASS}
    assert exported.details["rows"] > len(parts.test)


def test_the_artifact_is_complete_and_repeatable(model: Model, splits: Splits, tmp_path: Path) -> None:
    """Graph, native parts, signature, golden requests and reference lie there; a second export gives the same bytes."""
    export(model, splits, tmp_path / "first")
    export(model, splits, tmp_path / "second")
    assert manifest(tmp_path / "first") == manifest(tmp_path / "second")
    domains = [opset.domain for opset in onnx.load(tmp_path / "first" / "model.onnx").opset_import]
    assert domains == sorted(domains)  # else the bytes would depend on the seed of Python's hashes
    assert sorted(manifest(tmp_path / "first")) == [
        "booster.ubj",
        "golden.json",
        "model.onnx",
        "pipeline.skops",
        "reference.parquet",
        "signature.json",
    ]


def test_golden_requests_are_answered_as_written(model: Model, splits: Splits, tmp_path: Path) -> None:
    """An engine opened from the files gives the recorded answers to the recorded JSON, gaps and news included."""
    exported = export(model, splits, tmp_path)
    golden = parse_json((tmp_path / "golden.json").read_text(), Golden, source="golden.json")
    signature = parse_json((tmp_path / "signature.json").read_text(), Signature, source="signature.json")
    assert signature == exported.signature
    engine = open_engine(tmp_path, signature)
    assert [len(case.rows) for case in golden.cases] == [1, 2, 3, 8, 1, 1]
    assert golden.cases[4].rows[0]["amount"] is None
    assert golden.cases[5].rows[0]["seller"] == "never seen in training"
    for case in golden.cases:
        rows = pd.DataFrame(case.rows, dtype=object)
        assert all(isinstance(row["items"], int) and isinstance(row["express"], bool) for row in case.rows)
        answers = engine.predict(engine_columns(Features(signature).x(rows)))
        assert answers.tolist() == [list(expected) for expected in case.expected]


def test_a_graph_takes_two_arrays_whatever_number_of_columns(model: Model, splits: Splits, tmp_path: Path) -> None:
    """All numbers go in as one input and all texts as another; no node puts columns together that lay so already."""
    export(model, splits, tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    places = Places(model.signature)
    shapes = {node.name: node.type.tensor_type.shape.dim[1].dim_value for node in graph.input}
    assert shapes == {"numbers": len(places.numbers), "texts": len(places.texts)}
    assert min(shapes.values()) > 1
    joined = [name for node in graph.node if node.op_type == "Concat" for name in node.input]
    assert "numbers" in joined
    assert not set(joined) & set(places.numbers)


NAMES = ["Größe (cm)", "Große.cm", "1", "texts", "probabilities"]


@pytest.mark.parametrize("framework", get_args(Framework))
def test_a_graph_takes_columns_of_any_name(
    framework: Framework, new_project: New, orders: pd.DataFrame, tmp_path: Path
) -> None:
    """Names that are no identifiers, alike as such, or that the graph has inside: none is a reason to fall back."""
    old = ["amount", "items", "express", "country", "seller"]
    schema = "".join(
        f"    c{place}: {kind} = pa.Field(alias={name!r}, nullable={place == 0})\n"
        for place, (name, kind) in enumerate(zip(NAMES, ["float", "int", "bool", "str", "str"], strict=True))
    )
    fields = SCHEMA[SCHEMA.index("    amount") : SCHEMA.index("    coupon")]
    table = orders.rename(columns=dict(zip(old, NAMES, strict=True)))
    project = new_project(schema=(fields, schema), table=table)
    train = project.spec.train.model_copy(update={"frameworks": (framework,)})
    project = Project(project.root, project.spec.model_copy(update={"train": train}))
    splits = split(project, validate(project, load(project)).frame)
    exported = export(fit(project, splits, tune(project, splits)), splits, tmp_path / "artifact")
    assert (exported.signature.engine, exported.details["fallback"]) == ("onnx", None)
    assert load_lane(pointer(exported.folder)).codec.signature == exported.signature


@pytest.mark.parametrize(
    ("column", "values", "field"),
    [
        ("items", [3, 2**40], "items: int"),
        ("seller", ["short", "long" * 500], "seller: str"),
        ("amount", [0.1, 0.05], "amount: float = pa.Field(le=0.1)"),
    ],
)
def test_golden_requests_are_taken_by_the_service(  # noqa: PLR0913, PLR0917 (fixtures and a row of the table)
    new_project: New, orders: pd.DataFrame, tmp_path: Path, column: str, values: list[object], field: str
) -> None:
    """Rows that the service refuses are no golden requests, and a limit is not overstepped by its float32."""
    old = next(line.strip() for line in SCHEMA.splitlines() if line.startswith(f"    {column}:"))
    table = orders.assign(**{column: (values * len(orders))[: len(orders)]})
    project = new_project(schema=(old, field), table=table)
    splits = split(project, validate(project, load(project)).frame)
    exported = export(fit(project, splits, tune(project, splits)), splits, tmp_path / "artifact")
    golden = parse_json((exported.folder / "golden.json").read_text(), Golden, source="golden.json")
    assert {row[column] for case in golden.cases[:4] for row in case.rows} <= set(values)
    load_lane(pointer(exported.folder))


def test_rows_that_the_service_refuses_one_and_all_stop_training(
    new_project: New, orders: pd.DataFrame, tmp_path: Path
) -> None:
    """A model that could not be asked about a single test row is not worth an artifact."""
    project = new_project(schema=("ge=1, le=50", "ge=1"), table=orders.assign(items=orders["items"] + 2**30))
    splits = split(project, validate(project, load(project)).frame)
    model = fit(project, splits, tune(project, splits))
    with pytest.raises(TrainingError, match="refuse every row") as caught:
        export(model, splits, tmp_path / "artifact")
    assert "items: 10737418" in str(caught.value)


def test_the_reference_holds_rows_answers_and_truth(model: Model, splits: Splits, tmp_path: Path) -> None:
    """Live data can be compared with it: served types, the model's answer, the label, and where the row was used."""
    export(model, splits, tmp_path)
    reference = pd.read_parquet(tmp_path / "reference.parquet")
    assert len(reference) == 1500
    assert list(reference.columns) == [*Features(model.signature).names, PREDICTION, TARGET, PART]
    assert set(reference[TARGET]) == {"true", "false"}
    assert reference[PART].value_counts().to_dict() == {"train": 900, "validation": 300, "test": 300}
    assert reference["amount"].dtype == np.float32


def test_empty_columns_are_no_obstacle(new_project: New, orders: pd.DataFrame, tmp_path: Path) -> None:
    """A number and a text that are missing in every row train, export and answer all the same."""
    project = new_project(table=orders.assign(amount=None, coupon=None))
    parts = split(project, validate(project, load(project)).frame)
    exported = export(fit(project, parts, tune(project, parts)), parts, tmp_path / "model")
    assert exported.details["engine"] == "onnx"
    assert {finding.verdict for finding in exported.parity} == {Verdict.PASS}


def test_what_has_no_graph_is_served_natively(model: Model, splits: Splits, tmp_path: Path) -> None:
    """A transformer without a twin in ONNX is served by the native parts, and the reason is told."""
    unknown = ColumnTransformer([("scaled", FunctionTransformer(np.log1p), ["amount", "items"])])
    exported = export(refitted(model, splits, unknown), splits, tmp_path)
    assert exported.signature.engine == "native"
    assert "no graph can be made" in exported.details["fallback"]
    assert not (tmp_path / "model.onnx").exists()
    assert {finding.verdict for finding in exported.parity} == {Verdict.PASS}


def test_a_graph_that_differs_is_not_served(
    shop: Project, model: Model, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph of another model is noticed, thrown away, and the native parts serve instead."""
    other = to_graph(fit(shop, splits, TuneResult("lightgbm", TRAINERS["lightgbm"].defaults(), None, ())))
    monkeypatch.setattr(sys.modules[Exported.__module__], "to_graph", lambda _: other)
    exported = export(model, splits, tmp_path)
    assert exported.signature.engine == "native"
    assert "the graph differs from the model by" in exported.details["fallback"]
    assert not (tmp_path / "model.onnx").exists()


def test_a_graph_that_fails_on_unseen_strings_is_not_served(model: Model, splits: Splits, tmp_path: Path) -> None:
    """Test rows alone would not show it: callers send what training never saw."""
    words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False)
    odd = ColumnTransformer([("words", words, ["seller", "coupon"])])
    assert export(refitted(model, splits, odd), splits, tmp_path).signature.engine == "native"


def test_what_no_engine_can_serve_is_refused(model: Model, splits: Splits, tmp_path: Path) -> None:
    """A function of the owner's own has no graph and is not trusted either: the reader is told both."""
    own = ColumnTransformer([("own", FunctionTransformer(_doubled), ["amount"])])
    with pytest.raises(TrainingError, match="served by no engine") as caught:
        export(refitted(model, splits, own), splits, tmp_path)
    assert "no graph can be made" in caught.value.why
    assert "not trusted" in caught.value.why


def _doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame * 2


def test_a_graph_that_differs_is_noticed(model: Model, splits: Splits, tmp_path: Path) -> None:
    """Parity measures the largest difference and the decisions that flip; NaN differs by infinity."""
    exported = export(model, splits, tmp_path)
    engine = open_engine(tmp_path, exported.signature)
    x = Features(model.signature).x(splits.test)

    class Skewed:
        def __init__(self, shift: float) -> None:
            self.shift = shift

        def predict(self, columns: object) -> object:
            return engine.predict(columns) + np.float32(self.shift)  # type: ignore[arg-type]  # passed on

    small, large, absent = (compare_answers(Skewed(shift), model, x) for shift in (1e-4, 0.6, np.nan))  # type: ignore[arg-type]  # as above
    assert small.difference == pytest.approx(1e-4, rel=0.01)
    assert not small.holds
    assert large.flips > 0
    assert absent.difference == np.inf
    assert [finding.verdict for finding in absent.findings] == [Verdict.FAIL, Verdict.FAIL]


def test_parity_holds_only_without_flips() -> None:
    """A tiny difference that flips a decision is none too small."""
    assert Parity(10, 1e-6, 0).holds
    assert not Parity(10, 1e-6, 1).holds


def test_probes_lack_what_may_be_missing(model: Model, splits: Splits) -> None:
    """Appended rows have every gap at once, each gap alone, and unseen strings."""
    x = Features(model.signature).x(splits.test)
    probes = with_probes(model.signature, x).iloc[len(x) :]
    assert (probes["amount"].isna() & (probes["coupon"] == "")).any()
    assert (probes["seller"] == "never seen in training").any()
    assert probes.dtypes.equals(x.dtypes)


def test_a_lightgbm_graph_needs_rounded_thresholds(shop: Project, splits: Splits) -> None:
    """Rounding changes no answer of LightGBM's own on float32 rows."""
    features = Features.of(shop, splits.train, splits.target)
    data = prepare(shop, features, splits.train).train
    model = fit(shop, splits, TuneResult("lightgbm", TRAINERS["lightgbm"].defaults(), None, ()))
    text = model.estimator.booster_.model_to_string()
    thresholds = [float(t) for line in text.splitlines() if line.startswith("threshold=") for t in line[10:].split()]
    assert thresholds == [float(np.float32(threshold)) for threshold in thresholds]
    raw, rounded = model.estimator.booster_.predict(data.x), model.predict(features.x(splits.train))[:, 0]
    assert np.array_equal(raw, rounded)


def test_a_kept_pipeline_holds_no_addresses(model: Model) -> None:
    """Two dumps of one pipeline are equal, all names are counted, and every type in it is trusted."""
    first, second = to_skops(model.pipeline), to_skops(model.pipeline)
    assert first == second
    assert foreign_types(first) == []
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert all(len(name) < 20 for name in archive.namelist())
