import base64
import re
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer

from towpath_bento.engines.native import dense
from towpath_flows.data import Splits
from towpath_flows.evaluation import plots
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.card import Facts, pictures, write_card
from towpath_flows.evaluation.importance import _made_of, contributions, importance, permutation_importance
from towpath_flows.evaluation.judgement import assess_behaviour, assess_worth
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.evaluation.thresholds import curve
from towpath_flows.evidence_spec import CardSpec, CostMatrix
from towpath_flows.project import Project
from towpath_flows.spec import Framework
from towpath_flows.training import Exported, Model
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.records.importance import ColumnImportance, Importance
from towpath_gitops.records.signature import Column, Signature, Task

NASTY = "a|b <script>alert(1)</script>\n# c"


IMPORTANCE = Importance(
    rows=200,
    source="xgboost",
    columns=(
        ColumnImportance(column="amount", shap=0.8, direction=0.9, loss=0.12),
        ColumnImportance(column="seller", shap=0.1, loss=-0.001),
    ),
)
LATE = Finding(
    gate="behaviour latency", verdict=Verdict.PASS, message="98 of 100 take at most 0.07 ms.", measured=0.07, limit=50
)
BEHAVIOUR = Assessment(Kind.BEHAVIOUR, (LATE,), {"rows": 500})
COMPARISON = Assessment(
    Kind.COMPARISON, (Finding(gate="roc_auc", verdict=Verdict.PASS, message="as good as the champion of today"),)
)


def _facts(**changes: object) -> Facts:
    columns = (Column(name="amount", type="number", minimum=0), Column(name=NASTY[:20], type="string"))
    found = Finding(gate="roc_auc ≥ 0.9", verdict=Verdict.FAIL, message="ROC AUC is 0.8000: misses the floor of 0.9")
    details = {
        "rows": 1000,
        "window": ["2026-01-01T00:00:00", "2026-02-01T00:00:00"],
        "metrics": {"roc_auc": {"value": 0.8, "low": 0.75, "high": 0.85}},
        "slices": [{"slice": "country", "value": NASTY, "rows": 300, "measured": 0.7, "gap": 0.1}],
    }
    fields = {
        "model": "returns",
        "signature": Signature(task="binary", target="returned", classes=("no", "yes"), threshold=0.5, inputs=columns),
        "source": "data/orders.parquet",
        "data": "sha256:" + "d" * 64,
        "window": ("2026-01-01T00:00:00", None),
        "rows": {"train": 600, "validation": 200, "test": 200},
        "params": {"framework": "xgboost", "learning_rate": 0.1},
        "assessments": (Assessment(Kind.EVALUATION, (found,), details), BEHAVIOUR, COMPARISON),
        "importance": IMPORTANCE,
        "about": CardSpec(purpose="Tell which parcels come back.", not_for="Judging customers."),
        "lineage": {"code": "4be1c0d", "libraries": "xgboost 3"},
        "images": {"bars": plots.svg(plots.bars({"amount": 0.12}, "What it listens to", "loss"))},
    }
    return Facts(**{**fields, **changes})  # type: ignore[arg-type]  # fields of many types


def test_the_card_says_what_a_reader_asks(tmp_path: Path) -> None:
    """Purpose, verdict, measures, groups, inputs, making and limits are all there, in both forms."""
    write_card(tmp_path, _facts())
    for name in ("card.md", "card.html"):
        text = (tmp_path / name).read_text()
        for part in (
            "the probability that returned is yes",
            "cannot be promoted",
            "0.7500 to 0.8500",
            "xgboost",
            "600 to train",
            "Tell which parcels come back.",
            "Judging customers.",
            "4be1c0d",
            "rise with it",
        ):
            assert part in text
        for heading in (
            "Gates",
            "How good it is",
            "Group by group",
            "What it listens to",
            "Behaviour",
            "What it takes",
            "Lineage",
            "Where not to trust it",
        ):
            assert heading in text


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """No script, no outside address: pictures are inside."""
    write_card(tmp_path, _facts())
    page = (tmp_path / "card.html").read_text()
    assert "data:image/svg+xml;base64," in page
    assert not re.findall(r"(?:src|href)=['\"](?!data:|#)", page)
    assert "<script" not in page


def test_values_of_data_cannot_break_the_markdown(tmp_path: Path) -> None:
    """A group's name adds neither cells nor markup."""
    write_card(tmp_path, _facts())
    text = (tmp_path / "card.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| country")]
    assert "<script>" not in text
    assert len(re.findall(r"(?<!\\)\|", line)) == 7


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    """Cards are part of the artifact's digest: no dates, no random ids."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_card(tmp_path / name, _facts())
    for name in ("card.md", "card.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_card_in_the_artifact_is_timeless(tmp_path: Path) -> None:
    """What differs from run to run, a time in milliseconds or today's champion, would change the artifact's digest."""
    write_card(tmp_path, _facts())
    text = (tmp_path / "card.md").read_text()
    assert "0.07 ms" not in text
    assert "no longer than the 50 ms" in text
    assert "champion" not in text


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("binary", {"ROC curve", "calibration", "threshold", "scores", "importance"}),
        ("multiclass", {"calibration", "confusion", "importance"}),
        ("regression", {"answers", "calibration", "errors", "importance"}),
    ],
)
def test_each_task_has_its_pictures(task: Task, expected: set[str]) -> None:
    """Pictures are drawn for every task, as SVG."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 300)
    answers = random.random((300, 3 if task == "multiclass" else 1))
    details = {
        "curve": [point.plain() for point in curve(y, answers[:, 0], CostMatrix(false_alarm=1, miss=2))],
        "calibration": [{"predicted": 0.1, "observed": 0.2, "rows": 30}, {"predicted": 0.9, "observed": 1, "rows": 3}],
    }
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b $ c", "d"), "regression": None}[task]
    columns = (Column(name="amount", type="number"),)
    signature = Signature(task=task, target="t", classes=classes, threshold=0.4, inputs=columns)
    found = pictures(signature, y, answers, details, IMPORTANCE)
    assert set(found) == expected
    for data in found.values():
        assert base64.b64decode(data.partition(",")[2]).startswith(b"<?xml")


def test_importance_finds_what_the_model_listens_to() -> None:
    """The column that makes the answer comes first; one that is not heard has no importance."""
    random = np.random.default_rng(0)
    columns = {name: random.normal(size=(2000, 1)) for name in ("deaf", "heard")}
    y = (columns["heard"][:, 0] + random.normal(size=2000) > 0).astype(int)
    found = permutation_importance("binary", lambda c: 1 / (1 + np.exp(-c["heard"])), columns, y)
    assert list(found) == ["heard", "deaf"]
    assert found["heard"] > 0.2
    assert found["deaf"] == 0


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("classes", [2, 3])
def test_shap_values_and_a_base_add_up_to_the_answer(framework: Framework, classes: int) -> None:
    """Both libraries' own SHAP values sum to log odds, up to one number for each class (Lundberg et al. 2020)."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3)).astype(np.float32)
    y = np.clip(np.round(x[:, 0] + x[:, 1] * x[:, 2] + 1), 0, classes - 1).astype(int)
    kind = {"xgboost": xgboost.XGBClassifier, "lightgbm": lightgbm.LGBMClassifier}[framework]
    estimator = kind(n_estimators=10, **({"verbosity": -1} if framework == "lightgbm" else {})).fit(x, y)
    signature = Signature(task="binary", target="t", inputs=(Column(name="a", type="number"),))
    values = contributions(Model(framework, None, estimator, {}, 10, signature), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM names the columns of a plain array itself
        chances = estimator.predict_proba(x)
    odds = np.log(chances[:, 1:] / chances[:, :1]) if classes == 2 else np.log(chances)
    odds -= 0 if classes == 2 else odds.mean(axis=1, keepdims=True)
    sums = values.sum(axis=1)
    sums -= 0 if classes == 2 else sums.mean(axis=1, keepdims=True)
    assert values.shape == (400, 3, 1 if classes == 2 else 3)
    assert np.ptp(odds - sums, axis=0).max() < 1e-3


def test_importance_is_told_of_the_columns_that_callers_send(model: Model, exported: Exported, splits: Splits) -> None:
    """One-hot features count for their column; what the model cannot hear has no SHAP value at all."""
    scorer = Scorer.open(exported.folder)
    x, columns, y = scorer.features.x(splits.test), scorer.columns(splits.test), scorer.features.y(splits.test)
    found = importance(model, scorer.engine.predict, x, columns, y, seed=0)
    sizes = {each.column: each.shap or 0.0 for each in found.columns}
    assert set(sizes) == {column.name for column in model.signature.inputs}
    assert next(iter(sizes)) in {"amount", "items"}
    assert sizes["country"] > sizes["express"]
    total = np.abs(contributions(model, dense(model.pipeline.transform(x))).sum(axis=1)).mean()
    assert sum(sizes.values()) >= total
    directions = {each.column: each.direction for each in found.columns}
    assert directions["country"] is None
    assert (directions["items"] or 0) > 0.5


def test_a_column_may_be_called_self() -> None:
    """No name of a column is taken by pandas when it is asked which features a column moves."""
    x = pd.DataFrame({"self": np.arange(60.0), "class": np.arange(60.0)[::-1]})
    pipeline = ColumnTransformer([("all", "passthrough", ["self", "class"])]).fit(x)
    signature = Signature(task="binary", target="t", inputs=tuple(Column(name=name, type="number") for name in x))
    assert _made_of(Model("xgboost", pipeline, None, {}, 1, signature), x).tolist() == [[1, 0], [0, 1]]


def test_an_exported_model_is_judged_by_its_own_engine(published: Project, exported: Exported, splits: Splits) -> None:
    """Worth and behaviour of a real artifact are found through the engine that serves it."""
    worth = assess_worth(published, exported.folder, splits.test)
    assert worth.findings[0].verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert worth.details["rows"] == len(splits.test)
    assert {each["slice"] for each in worth.details["slices"]} <= {"express"}
    behaviour = assess_behaviour(published, exported.folder, splits.test)
    assert behaviour
    assert behaviour.verdict is Verdict.PASS


def test_scoring_goes_by_the_signature(exported: Exported, splits: Splits) -> None:
    """An artifact is asked with the columns that its own signature names, as (n, 1) arrays."""
    scorer = Scorer.open(exported.folder)
    assert {values.shape for values in scorer.columns(splits.test).values()} == {(len(splits.test), 1)}
    assert scorer.answers(splits.test).shape == (len(splits.test), 1)
