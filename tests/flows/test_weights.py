"""Weights, classes that count differently, directions and missing values: alike in both libraries, and served so."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from towpath_flows.data import Splits, load, split, validate
from towpath_flows.data.quality import feature_names
from towpath_flows.data.target import Target
from towpath_flows.project import Project
from towpath_flows.spec import Framework
from towpath_flows.training import Features, Model, TuneResult, export, fit, tune
from towpath_flows.training.preparation import prepare
from towpath_flows.training.trainers import TRAINERS, Data, Setting
from towpath_flows.training.weights import Weights
from towpath_gitops.errors import DataContractError, InvalidFileError

New = Callable[..., Project]
FRAMEWORKS: list[Framework] = list(get_args(Framework))
SETTING = Setting("binary", 2, rounds=40, patience=10, seed=1)


def parts_of(project: Project) -> Splits:
    """Return the project's rows in three parts."""
    return split(project, validate(project, load(project)).frame)


def fitted(project: Project, framework: Framework, parts: Splits) -> Model:
    """Return a model fitted with the framework's defaults."""
    return fit(project, parts, TuneResult(framework, TRAINERS[framework].defaults(), None, ()))


def training(new_project: New, more: str, **others: object) -> Project:
    """Return the shop's project with more under `train`."""
    return new_project(spec=("patience: 10}", f"patience: 10, {more}}}"), **others)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_row_that_counts_twice_is_a_row_that_is_there_twice(framework: Framework) -> None:
    """Weights are weights: doubled rows and rows of weight two give the same answers."""
    random = np.random.default_rng(0)
    x = random.integers(0, 12, (300, 2)).astype(np.float32) / 12  # few values: bins do not depend on how many rows
    y = (x[:, 0] + random.random(300) > 1).astype(np.int64)
    heavy = x[:, 1] > 0.5
    plain = TRAINERS[framework].defaults() | {"subsample": 1.0, "colsample_bytree": 1.0}
    twice = Data(np.concatenate([x, x[heavy]]), np.concatenate([y, y[heavy]]))
    weighed = Data(x, y, np.where(heavy, 2, 1).astype(np.float32))
    if framework == "lightgbm":
        plain["min_child_samples"] = 1  # it counts rows, not weights
    answers = [
        TRAINERS[framework].predict(TRAINERS[framework].fit(each, None, plain, SETTING).estimator, x)
        for each in (twice, weighed)
    ]
    assert np.abs(answers[0] - answers[1]).max() < 0.02
    without = TRAINERS[framework].fit(Data(x, y), None, plain, SETTING).estimator
    assert np.abs(TRAINERS[framework].predict(without, x) - answers[1]).max() > 0.05


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_validation_rows_count_by_their_weight(framework: Framework) -> None:
    """The loss that stops a fit and chooses parameters is measured on weighted rows."""
    random = np.random.default_rng(0)
    x = random.random((400, 1), dtype=np.float32)
    y = (x[:, 0] > 0.5).astype(np.int64)
    wrong = np.arange(400) % 4 == 0
    told = np.where(wrong, 1 - y, y)

    def loss(weight: float) -> float:
        judged = Data(x, told, np.where(wrong, weight, 1).astype(np.float32))
        return TRAINERS[framework].fit(Data(x, y), judged, TRAINERS[framework].defaults(), SETTING).loss

    assert loss(0.0) < 0.01
    assert loss(1.0) > 0.2


def test_balanced_classes_count_alike_and_rows_keep_a_mean_of_one(new_project: New, splits: Splits) -> None:
    """`balanced` is n / (k · rows of the class); the owner's own column multiplies it."""
    project = training(new_project, "class_weights: balanced, weights: items")
    y = splits.target.encode(splits.train["returned"])
    weights = Weights.of(project, splits.target, splits.train, y)
    assert weights is not None
    rows = weights.rows(splits.train, y)
    assert rows.dtype == np.float32
    assert rows.mean() == pytest.approx(1.0, rel=1e-5)
    alone = Weights.of(training(new_project, "class_weights: balanced"), splits.target, splits.train, y)
    assert alone is not None
    heavier = alone.rows(splits.train, y)
    assert heavier[y == 0].sum() == pytest.approx(heavier[y == 1].sum(), rel=1e-4)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_class_that_counts_more_is_answered_more(new_project: New, framework: Framework) -> None:
    """`class_weights` by label move the answers towards the class that counts more."""
    plain = new_project()
    parts = parts_of(plain)
    base = fitted(plain, framework, parts)
    heavy = fitted(training(new_project, "class_weights: {true: 5, false: 1}"), framework, parts)
    x = Features(base.signature).x(parts.test)
    assert heavy.predict(x).mean() > base.predict(x).mean() + 0.1


def test_the_column_of_weights_is_no_feature(new_project: New) -> None:
    """The model is not asked with it, and is served without it."""
    project = training(new_project, "weights: items")
    assert "items" not in feature_names(project)
    parts = parts_of(project)
    assert "items" not in [column.name for column in fitted(project, "xgboost", parts).signature.inputs]


@pytest.mark.parametrize(
    ("values", "told"), [([1.0, -1.0], "no weight"), ([1.0, np.nan], "no weight"), ([0.0, 0.0], "is zero")]
)
def test_rows_without_a_weight_are_refused(shop: Project, values: list[float], told: str) -> None:
    """A weight that is missing or negative, or nothing but zeros, is an error that names the column."""
    train = shop.spec.train.model_copy(update={"weights": "amount"})
    project = Project(shop.root, shop.spec.model_copy(update={"train": train}))
    frame = pd.DataFrame({"amount": values})
    with pytest.raises(DataContractError, match=f"amount.*{told}|{told}.*amount"):
        Weights.of(project, Target("returned", "binary", ("false", "true")), frame, np.array([0, 1]))


def test_class_weights_name_the_classes(new_project: New, splits: Splits) -> None:
    """A class that is left out or unknown is an error that names those there are."""
    project = training(new_project, "class_weights: {late: 2, true: 1}")
    with pytest.raises(InvalidFileError, match="class_weights") as refused:
        fitted(project, "xgboost", splits)
    assert "false, true" in str(refused.value.why)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_monotone_column_moves_the_answer_one_way(new_project: New, tmp_path: Path, framework: Framework) -> None:
    """Whatever the data say, the answer never falls as `items` rises; the served graph keeps to it."""
    project = training(new_project, "monotone: {items: increasing, amount: decreasing}")
    parts = parts_of(project)
    model = fitted(project, framework, parts)
    x = Features(model.signature).x(parts.test).iloc[:60]

    def steps(of: Model, column: str, values: list[float]) -> float:
        answers = [of.predict(x.assign(**{column: np.float32(value)}))[:, 0] for value in values]
        return float(np.diff(np.array(answers), axis=0).min())

    assert steps(model, "items", [1, 2, 3, 4, 5, 6, 7, 8]) >= 0
    assert steps(model, "amount", [300, 150, 100, 60, 30, 10, 0]) >= 0
    free = fitted(new_project(), framework, parts)
    assert steps(free, "items", [1, 2, 3, 4, 5, 6, 7, 8]) < 0  # else the constraint had nothing to do
    exported = export(model, parts, tmp_path / "model")
    assert exported.details["engine"] == "onnx"
    assert exported.details["flips"] == 0


def test_the_direction_follows_a_column_through_the_transformer(new_project: New, splits: Splits) -> None:
    """The signs are found by moving the column: a feature that falls as the column rises gets the other sign."""
    features = (
        "import numpy as np\nfrom sklearn.compose import ColumnTransformer\n"
        "from sklearn.preprocessing import FunctionTransformer\n\n\ndef build():\n"
        '    return ColumnTransformer([("n", FunctionTransformer(np.negative), ["items"]), ("a", "passthrough", '
        '["amount"])])\n'
    )
    project = training(new_project, "monotone: {items: increasing}")
    (project.root / "src" / "shop" / "made.py").write_text(features)
    project = Project(project.root, project.spec.model_copy(update={"features": "shop.made:build"}))
    found = prepare(project, Features.of(project, splits.train, splits.target), splits.train)
    assert found.train.monotone == (-1, 0)


@pytest.mark.parametrize(
    ("column", "told"), [("seller", "no number"), ("items", "rises and falls"), ("express", "No feature moves")]
)
def test_a_direction_that_cannot_be_kept_is_refused(new_project: New, splits: Splits, column: str, told: str) -> None:
    """Text, a wave and a column that is not used have no direction: the error says which it is."""
    features = (
        "import numpy as np\nfrom sklearn.compose import ColumnTransformer\n"
        "from sklearn.preprocessing import FunctionTransformer\n\n\ndef build():\n"
        '    return ColumnTransformer([("n", FunctionTransformer(np.sin), ["items"])])\n'
    )
    project = training(new_project, f"monotone: {{{column}: increasing}}")
    (project.root / "src" / "shop" / "waves.py").write_text(features)
    project = Project(project.root, project.spec.model_copy(update={"features": "shop.waves:build"}))
    with pytest.raises(InvalidFileError, match=column) as refused:
        prepare(project, Features.of(project, splits.train, splits.target), splits.train)
    assert told in str(refused.value.why)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_missing_values_are_learned_from(framework: Framework, task: str) -> None:
    """A value that is missing goes its own way: where it tells the answer, the model knows."""
    random = np.random.default_rng(0)
    x = random.random((600, 2), dtype=np.float32)
    missing = random.random(600) < 0.4
    x[missing, 0] = np.nan
    y = {
        "binary": missing.astype(np.int64),
        "multiclass": np.where(missing, 2, (x[:, 1] > 0.5).astype(np.int64)),
        "regression": missing * 10.0,
    }[task]
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    setting = Setting(task, classes, rounds=60, patience=10, seed=1)  # type: ignore[arg-type]  # one of the tasks
    trained = TRAINERS[framework].fit(Data(x, y), None, TRAINERS[framework].defaults(), setting)
    answers = TRAINERS[framework].predict(trained.estimator, x)
    known = answers.argmax(axis=1) if task == "multiclass" else (answers[:, 0] > (5 if task == "regression" else 0.5))
    expected = y if task == "multiclass" else y > 0
    assert (known == expected).mean() > 0.98


@pytest.mark.parametrize(
    ("task", "target"), [("binary", "returned"), ("multiclass", "country"), ("regression", "items")]
)
def test_both_frameworks_are_tried_and_validation_chooses(new_project: New, task: str, target: str) -> None:
    """Without trials each framework's defaults are judged on the folds; the test rows change nothing."""
    project = new_project()
    excluded = ("refund_days",) if target == "returned" else ("refund_days", "returned")
    spec = project.spec.model_copy(update={"task": task, "target": target, "exclude": excluded})
    project = Project(project.root, spec)
    parts = parts_of(project)
    found = tune(project, parts)
    assert set(found.losses) == {"xgboost", "lightgbm"}
    assert found.loss == min(found.losses.values())
    assert found.framework == next(iter(found.losses))
    blind = Splits(parts.train, parts.validation, parts.test.iloc[:0], parts.target)
    assert tune(project, blind).losses == found.losses
