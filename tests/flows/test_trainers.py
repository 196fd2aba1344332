"""Both libraries fit behind one interface, deterministically, for every task."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_flows.data.rules.leakage import auc
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.spec import Framework
from towpath_flows.training import Features, TuneResult, fit
from towpath_flows.training.trainers import TRAINERS, Data, Setting
from towpath_flows.training.trainers.lightgbm import round_thresholds

RANDOM = np.random.default_rng(0)
X = RANDOM.random((600, 4), dtype=np.float32)
Y = {
    "binary": (X[:, 0] + 0.3 * RANDOM.random(600) > 0.6).astype(np.int64),
    "multiclass": np.digitize(X[:, 0], [0.3, 0.6]),
    "regression": X[:, 0].astype(np.float64) * 100,
}
FRAMEWORKS: list[Framework] = list(get_args(Framework))


def test_every_framework_of_the_spec_has_a_trainer() -> None:
    """The table has a row for each name that model.yaml may hold."""
    assert set(TRAINERS) == set(FRAMEWORKS)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(("task", "classes", "columns"), [("binary", 2, 1), ("multiclass", 3, 3), ("regression", 0, 1)])
def test_every_task_is_fitted(framework: Framework, task: str, classes: int, columns: int) -> None:
    """Each task answers in its shape, stops early on validation rows, and tells the best loss."""
    trainer = TRAINERS[framework]
    setting = Setting(task, classes, rounds=300, patience=5, seed=1)  # type: ignore[arg-type]  # one of the tasks
    train, validation = Data(X[:400], Y[task][:400]), Data(X[400:], Y[task][400:])
    fitted = trainer.fit(train, validation, trainer.defaults(), setting)
    answers = trainer.predict(fitted.estimator, X)
    assert answers.shape == (600, columns)
    assert fitted.rounds < 300
    assert fitted.loss < {"binary": 0.5, "multiclass": 0.5, "regression": 10}[task]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_same_seed_gives_the_same_bytes(framework: Framework) -> None:
    """A fit can be repeated exactly; another seed gives another model."""
    trainer = TRAINERS[framework]

    def booster(seed: int) -> bytes:
        setting = Setting("binary", 2, rounds=10, patience=5, seed=seed)
        fitted = trainer.fit(Data(X, Y["binary"]), None, trainer.defaults(), setting)
        assert fitted.rounds == 10
        assert math.isnan(fitted.loss)
        return trainer.save(fitted.estimator)[1]

    assert booster(1) == booster(1) != booster(2)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_last_fit_sees_validation_but_not_test(shop: Project, splits: Splits, framework: Framework) -> None:
    """Changing the test rows changes nothing; the model is better than chance on them."""
    tuned = TuneResult(framework, TRAINERS[framework].defaults(), None, ())
    model = fit(shop, splits, tuned)
    x, y = Features(model.signature).prepare(splits.test)
    assert auc(model.predict(x)[:, 0], y == 1) > 0.65
    emptied = Splits(splits.train, splits.validation, splits.test.iloc[:0], splits.target)
    assert np.array_equal(fit(shop, emptied, tuned).predict(x), model.predict(x))


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=10))
def test_thresholds_are_rounded_down_to_float32(thresholds: list[float]) -> None:
    """No float32 value changes sides: the rounded threshold is the greatest float32 that is not above the exact one."""
    line = " ".join(repr(threshold) for threshold in thresholds)
    text = f"tree\ntree_sizes=1 2\nthreshold={line}\ndecision_type=2\n"
    tree, rounded, _ = round_thresholds(text).splitlines()
    assert tree == "tree"
    for exact, value in zip(thresholds, rounded.removeprefix("threshold=").split(), strict=True):
        down = np.float32(value)
        assert float(down) == float(value) <= exact
        assert float(np.nextafter(down, np.float32(np.inf))) > exact
