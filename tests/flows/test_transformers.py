"""Reusable features: what training computes is what the graph computes, to the bit; declared or written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer

from towpath_bento.engines import open_engine
from towpath_flows.data import Splits, load, split, validate
from towpath_flows.feature_spec import Feature
from towpath_flows.project import Project
from towpath_flows.spec import Framework, ModelSpec
from towpath_flows.training import Exported, Features, Model, TuneResult, export, fit
from towpath_flows.training.converters import register
from towpath_flows.training.graph import OPSET
from towpath_flows.training.preparation import prepare
from towpath_flows.training.skew import compare_paths
from towpath_flows.training.suspicion import suspect
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training_spec import FeatureChecks
from towpath_flows.transformers import Bucket, Clip, Cyclic, Log, RareCategories, Ratio, target_encoding
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.evidence import Kind, Verdict, gate_digest

New = Callable[..., Project]
FLOATS = st.floats(width=32, allow_infinity=False)
TABLE = st.lists(st.tuples(FLOATS, FLOATS), min_size=2, max_size=30)
NUMERIC = [Cyclic("hour"), Cyclic(7.5), Log(), Ratio(), Clip(), Clip(-1, 2), Bucket(4)]

DECLARED: list[dict[str, Any]] = [
    {"cyclic": "items", "period": 7},
    {"ratio": ["amount", "items"]},
    {"log": "amount"},
    {"bucket": "items", "bins": 4},
    {"rare": "seller", "share": 0.02},
    {"target": "coupon"},
]


def session(fitted: Any, kind: Any, width: int) -> onnxruntime.InferenceSession:  # noqa: ANN401 (untyped libraries)
    """Return the transformer's twin, with one input of so many columns."""
    register()
    graph = convert_sklearn(fitted, initial_types=[("x", kind([None, width]))], target_opset=OPSET)
    return onnxruntime.InferenceSession(graph.SerializeToString())


def declaring(project: Project, features: object, **more: object) -> Project:
    """Return the project with features declared in model.yaml."""
    spec = ModelSpec.model_validate(project.spec.plain() | {"features": features, **more})
    return Project(project.root, spec)


@pytest.mark.parametrize("transformer", NUMERIC, ids=repr)
def test_a_graph_computes_the_very_bits(transformer: Any) -> None:  # noqa: ANN401 (any transformer)
    """On a hundred thousand rows, gaps, zeros and huge numbers included, in bulk and one by one."""
    random = np.random.default_rng(0)
    x = np.concatenate(
        [
            random.normal(size=(60_000, 2)) * 10.0 ** random.integers(-3, 6, (60_000, 1)),
            random.integers(-30, 30, (40_000, 2)),
        ]
    ).astype(np.float32)
    x[::7, 0], x[::11, 1] = np.nan, np.nan
    twin = session(transformer.fit(x), FloatTensorType, 2)
    expected = transformer.transform(x)
    assert expected.dtype == np.float32
    assert np.array_equal(twin.run(None, {"x": x})[0], expected, equal_nan=True)
    for row in range(0, 100_000, 997):
        assert np.array_equal(twin.run(None, {"x": x[row : row + 1]})[0], expected[row : row + 1], equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(TABLE, TABLE)
def test_a_graph_computes_the_very_bits_of_any_number(learned: list[Any], asked: list[Any]) -> None:
    """Whatever the rows were that it learned from, and whatever is asked: signs of zero, limits of float32, gaps."""
    known, x = np.array(learned, dtype=np.float32), np.array(asked, dtype=np.float32)
    for transformer in (Log(), Ratio(), Clip(), Bucket(4)):
        twin = session(transformer.fit(known), FloatTensorType, 2)
        assert np.array_equal(twin.run(None, {"x": x})[0], transformer.transform(x), equal_nan=True), transformer


def test_rare_words_are_one() -> None:
    """What is rare or new is `(rare)`, in training and in the graph; a gap is a word like another."""
    words = np.array([["a"]] * 60 + [["b"]] * 30 + [[""]] * 9 + [["c"]], dtype=object)
    rare = RareCategories(0.05).fit(words)
    asked = np.array([["a"], ["b"], [""], ["c"], ["né"]], dtype=object)
    expected = [["a"], ["b"], [""], ["(rare)"], ["(rare)"]]
    assert rare.transform(asked).tolist() == expected
    assert session(rare, StringTensorType, 1).run(None, {"x": asked})[0].tolist() == expected


def test_what_the_transformers_mean() -> None:
    """Hand-made examples of each."""
    column = np.array([[0], [6], [12], [18]], dtype=np.float32)
    waves = Cyclic("hour").fit(column).transform(column)
    assert waves.tolist() == [[0, 1], [1, 0], [0, -1], [-1, 0]]
    assert Log().fit_transform(np.array([[np.e - 1, -(np.e - 1), 0]])).tolist() == [[1, -1, 0]]
    pairs = np.array([[6, 3], [1, 0], [0, 0], [np.nan, 1]], dtype=np.float32)
    assert np.array_equal(Ratio().fit_transform(pairs), [[2], [np.nan], [np.nan], [np.nan]], equal_nan=True)
    hundred = np.arange(101, dtype=np.float32).reshape(-1, 1)
    assert Clip().fit_transform(hundred)[[0, 50, 100], 0].tolist() == [1, 50, 99]
    assert Clip(high=10).fit_transform(hundred).max() == 10
    assert np.bincount(Bucket(4).fit_transform(hundred)[:, 0].astype(int)).tolist() == [25, 25, 25, 26]


@pytest.mark.parametrize(
    ("transformer", "told"),
    [(Cyclic("fortnight"), "weekday"), (Cyclic(0), "above zero"), (Bucket(1), "at least 2"), (Ratio(), "two columns")],
)
def test_parameters_that_mean_nothing_are_refused(transformer: Any, told: str) -> None:  # noqa: ANN401 (any transformer)
    """The error says what is expected."""
    with pytest.raises(ValueError, match=told):
        transformer.fit(np.zeros((3, 3), dtype=np.float32))


@pytest.mark.parametrize("framework", get_args(Framework))
@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_declared_features_are_served(new_project: New, tmp_path: Path, framework: Framework, task: str) -> None:
    """Every kind at once, for every task, in one graph; target encoding of many classes takes the native engine."""
    target = {"binary": "returned", "regression": "items", "multiclass": "country"}[task]
    excluded = ["refund_days", *(["returned"] if task != "binary" else [])]
    features = [each for each in DECLARED if task != "regression" or "items" not in str(each)]
    project = declaring(new_project(), features, task=task, target=target, exclude=excluded, gates=[])
    parts = split(project, validate(project, load(project)).frame)
    model = fit(project, parts, TuneResult(framework, TRAINERS[framework].defaults(), None, (), rounds=20))
    exported = export(model, parts, tmp_path / "model")
    assert exported.details["engine"] == ("native" if task == "multiclass" else "onnx"), exported.details
    assert {finding.verdict for finding in exported.parity} == {Verdict.PASS}
    served = next(finding for finding in exported.parity if finding.gate == "one graph")
    assert ("native engine" in served.message) == (task == "multiclass")


def test_declared_features_stand_beside_or_replace(new_project: New, splits: Splits) -> None:
    """A wave and a ratio stand beside their columns; a log, a bucket, words and means replace theirs."""
    project = declaring(new_project(), DECLARED)
    prepared = prepare(project, Features.of(project, splits.train, splits.target), splits.train)
    names = list(prepared.pipeline.get_feature_names_out())
    assert "numbers__express" in names
    assert not {"numbers__amount", "numbers__items", "codes__seller", "words__coupon_VIP"} & set(names)
    assert {"cyclic0__items_sin", "ratio1__amount_by_items", "log2__amount", "bucket3__items"} <= set(names)
    kept = declaring(project, DECLARED[:2])
    again = prepare(kept, Features.of(kept, splits.train, splits.target), splits.train)
    assert {"numbers__amount", "numbers__items"} <= set(again.pipeline.get_feature_names_out())


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        ({"log": "amuont"}, "Did you mean amount"),
        ({"log": "seller"}, "is text"),
        ({"rare": "items"}, "is a number"),
        ({"log": "order_id"}, "is no input"),
    ],
)
def test_a_declared_feature_of_the_wrong_column_is_refused(
    new_project: New, splits: Splits, feature: object, told: str
) -> None:
    """The error names the place in model.yaml and the column."""
    project = declaring(new_project(), [feature])
    with pytest.raises(InvalidFileError, match=r"features\[0\]") as refused:
        prepare(project, Features.of(project, splits.train, splits.target), splits.train)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "feature", [{"cyclic": "a"}, {"clip": "a", "low": 2, "high": 1}, {"ratio": ["a"]}, {"bucket": "a", "bins": 1}, {}]
)
def test_a_declared_feature_says_all_it_needs(feature: object) -> None:
    """A wave needs a period, limits an order, a ratio two columns, buckets to be two; and each a name."""
    with pytest.raises(ValidationError):
        TypeAdapter(Feature).validate_python(feature)


def test_target_encoding_is_repeatable_and_out_of_fold() -> None:
    """The same seed gives the same means; a row's own answer does not tell on it."""
    random = np.random.default_rng(0)
    x, y = random.choice(list("abcdefgh"), (400, 1)).astype(object), random.integers(0, 2, 400)
    assert np.array_equal(target_encoding(3).fit_transform(x, y), target_encoding(3).fit_transform(x, y))
    alone = np.arange(400).astype(str).astype(object).reshape(-1, 1)
    assert np.ptp(target_encoding().fit_transform(alone, y)) < 0.1


def test_odd_features_are_told_or_refused(shop: Project, splits: Splits) -> None:
    """Constant, copied, empty and exploding ones are named; model.yaml says what comes of them."""
    frame = splits.train.assign(items=3, amount=np.nan, seller=[f"s{row}" for row in range(len(splits.train))])
    features = Features.of(shop, splits.train, splits.target)
    x = features.x(frame)
    pipeline = ColumnTransformer(
        [("n", "passthrough", ["items", "amount", "express"]), ("e", "passthrough", ["express"])]
    )
    matrix = np.asarray(pipeline.fit_transform(x), dtype=np.float32)
    strict = FeatureChecks(constant="refuse", duplicate="refuse", missing="refuse")
    found = {finding.gate: finding for finding in suspect(strict, features, x, pipeline, matrix)}
    assert {finding.verdict for finding in found.values()} == {Verdict.FAIL}
    assert "n__items" in found["feature constant"].message
    assert "n__amount" in found["feature missing"].message
    assert "e__express of n__express" in found["feature duplicate"].message
    assert "seller (900 different in 900 rows)" in found["feature cardinality"].message
    told = suspect(FeatureChecks(cardinality="tell"), features, x, pipeline, matrix)
    assert {finding.verdict for finding in told} == {Verdict.PASS}
    assert [finding.measured for finding in told] == [1, 1, 1, 1]


def test_stricter_checks_make_parity_evidence_stale() -> None:
    """Who asks for more of the features than training did, must train again; other parts of `train` do not matter."""
    asked: dict[str, Any] = {"train": {"seed": 7}}
    for kind in Kind:
        stricter = gate_digest({"train": {"seed": 7, "checks": {"constant": "refuse"}}}, kind)
        assert (stricter != gate_digest(asked, kind)) == (kind is Kind.PARITY)
        assert gate_digest({"train": {"seed": 8}}, kind) == gate_digest(asked, kind)


def test_sound_features_raise_no_suspicion(model: Model) -> None:
    """Nothing is said of the shop's own."""
    assert [finding.measured for finding in model.findings] == [0, 0, 0, 0]


def test_a_column_that_becomes_thousands_is_noticed(shop: Project, splits: Splits) -> None:
    """An encoder gone wild is an explosion as well."""
    features = Features.of(shop, splits.train, splits.target)
    x = features.x(splits.train)
    matrix = np.random.default_rng(0).random((len(x), 2000), dtype=np.float32)
    wild = suspect(FeatureChecks(), features, x, FunctionTransformer(), matrix)
    assert "became 2,000 features" in wild[-1].message


def test_both_paths_agree_on_raw_rows(exported: Exported) -> None:
    """What is sent as JSON gives the columns and the answers of training."""
    found = next(finding for finding in exported.parity if finding.gate == "training-serving skew")
    assert (found.verdict, found.measured) == (Verdict.PASS, 0)


def test_a_path_that_differs_is_noticed(exported: Exported, model: Model, splits: Splits) -> None:
    """An engine that answers otherwise, and a schema that reads a column otherwise, are both told."""
    engine = open_engine(exported.folder, exported.signature)

    class Late:
        def predict(self, columns: Any) -> Any:  # noqa: ANN401 (as the engine's)
            return np.asarray(engine.predict(columns)) + 0.001

    found = compare_paths(Late(), model, splits.test)
    assert found.verdict is Verdict.FAIL
    assert "300 of 300 rows are answered otherwise" in found.message
    inputs = tuple(
        column.model_copy(update={"type": "integer"}) if column.name == "amount" else column
        for column in model.signature.inputs
    )
    whole = replace(model, signature=model.signature.model_copy(update={"inputs": inputs}))
    assert "amount arrives otherwise" in compare_paths(engine, whole, splits.test).message
