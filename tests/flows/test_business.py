"""A measure of the owner's own: a function of rows and decisions, measured, gated and compared like any other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towpath_flows.data import Splits
from towpath_flows.evaluation.business import RowMetric, measures_of
from towpath_flows.evaluation.comparison import Duel, compare, judge
from towpath_flows.evaluation.judgement import assess_worth
from towpath_flows.evaluation.slices import judge_slices, measure_slices
from towpath_flows.project import Project
from towpath_flows.spec import ComparisonGate, SliceGate
from towpath_flows.training import Exported
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.signature import Task

Array = np.ndarray[Any, Any]

CODE = '''\
"""What our decisions are worth."""


def saved(rows, truth, decided):
    """A return that we foresee saves its amount; a check costs 2 euros."""
    return rows["amount"].fillna(0) * (truth & decided) - 2.0 * decided


def strange(weather):
    """Ask for what nobody has."""
    return weather


def short(truth):
    """Forget a row."""
    return truth[1:]


def broken(rows):
    """Divide by nothing."""
    return 1 / 0
'''
SPEC = """\
business:
  saved: {function: shop.worth:saved, label: saved, unit: EUR}
gates:
  - {metric: saved, min: -100}
  - {metric: saved, slice: express, gap: 1000}
"""


@pytest.fixture
def shop_with(new_project: Callable[..., Project]) -> Callable[[str], Project]:
    """Return a function that makes a shop whose own measure is one of the functions above."""

    def build(function: str = "saved") -> Project:
        text = SPEC.replace("worth:saved", f"worth:{function}")
        project = new_project(spec=("gates:\n  - {metric: roc_auc, min: 0.6}\n", text))
        (project.root / "src" / "shop" / "worth.py").write_text(CODE)
        return project

    return build


def _value(rows: pd.DataFrame, decided: Array, truth: Array) -> float:
    return float((rows["amount"].fillna(0) * (truth & decided) - 2.0 * decided).mean())


def test_it_is_the_mean_of_what_each_row_is_worth(
    shop_with: Callable[[str], Project], exported: Exported, splits: Splits
) -> None:
    """The evidence holds it with an interval and the owner's words, and its gates are judged."""
    found = assess_worth(shop_with("saved"), exported.folder, splits.test)
    figures = found.details["metrics"]["saved"]
    assert figures["label"] == "saved (EUR a row)"
    assert figures["low"] < figures["value"] < figures["high"]
    assert [finding.verdict for finding in found.findings] == [Verdict.PASS, Verdict.PASS]
    assert found.findings[0].message.startswith("saved (EUR a row) is ")


def test_slices_and_duels_look_at_their_own_rows(shop_with: Callable[[str], Project], splits: Splits) -> None:
    """Of a group or a sample, the function gets just those rows, in their order."""
    project, rows = shop_with("saved"), splits.test.reset_index(drop=True)
    truth = rows["returned"].to_numpy(dtype=bool)
    answers = np.linspace(0, 1, len(rows))[:, None]
    metric = measures_of(project, rows, ("False", "True"))["saved"]
    mask = rows["express"].to_numpy(dtype=bool)
    part = metric.of(mask).measure("binary", truth[mask], answers[mask])
    assert part == pytest.approx(_value(rows[mask], answers[mask, 0] >= 0.5, truth[mask]))
    duel = Duel("binary", truth, answers, answers[::-1], measures={"saved": metric}).where(np.arange(50))
    assert duel.measures["saved"].measure("binary", duel.y, duel.champion) == pytest.approx(
        _value(rows[:50], answers[:50, 0] >= 0.5, truth[:50])
    )
    gate = SliceGate(metric="saved", slice="express", gap=1000)
    sliced = measure_slices("binary", truth, answers, np.full(len(rows), "all", dtype=object), gate, metric=metric)
    assert "saved (EUR a row)" in judge_slices(sliced, gate, 0, metric).message


def test_it_decides_between_champion_and_challenger(shop_with: Callable[[str], Project], splits: Splits) -> None:
    """A challenger that saves less by more than the margin fails, by paired resamples of the owner's measure."""
    rows = splits.test.reset_index(drop=True)
    truth = rows["returned"].to_numpy(dtype=bool)
    good, bad = truth[:, None] * 0.98 + 0.01, 1 - (truth[:, None] * 0.98 + 0.01)
    measures = measures_of(shop_with("saved"), rows, ("False", "True"))
    gate = ComparisonGate(metric="saved", against="champion", margin=1.0)
    measured = compare(Duel("binary", truth, good, bad, measures=measures), [gate])
    assert [found.metric for found, _ in measured].count("saved") == 1
    assert judge(measured[0][0], gate).verdict is Verdict.FAIL
    figures = measured[0][0].figures(gate)
    assert figures
    assert (figures.label, figures.greater_is_better) == ("saved (EUR a row)", True)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("strange", "asks for weather"),
        ("short", "no finite number for each row"),
        ("broken", "ZeroDivisionError"),
        ("missing", "cannot be imported"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(
    shop_with: Callable[[str], Project], exported: Exported, splits: Splits, function: str, words: str
) -> None:
    """The error says which measure, which function, and what was expected."""
    with pytest.raises(InvalidFileError, match=r"business\.saved") as caught:
        assess_worth(shop_with(function), exported.folder, splits.test)
    assert words in str(caught.value)


@pytest.mark.parametrize(("task", "expected"), [("multiclass", [1.0, 0.0]), ("regression", [1.0, 3.0])])
def test_every_task_speaks_its_own_language(task: Task, expected: list[float]) -> None:
    """Labels for many classes, values for a regression."""
    seen: dict[str, Any] = {}

    def worth(given: Mapping[str, Any]) -> Array:
        seen.update(given)
        right = given["truth"] == given["decided"]
        return np.asarray(right if task == "multiclass" else given["decided"], dtype=float)

    y, p = np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1]])
    answers = p if task == "multiclass" else np.array([[1.0], [3.0]])
    rows = pd.DataFrame({"a": [1, 2]})
    metric = RowMetric("m", "m", True, {}, rows=rows, function=worth, classes=("x", "y", "z"))
    assert metric.measure(task, y, answers) == pytest.approx(np.mean(expected))
    assert seen["answers"].shape == ((2, 3) if task == "multiclass" else (2,))
    assert list(seen["truth"]) == (["x", "y"] if task == "multiclass" else [0.0, 1.0])


def test_names_are_checked_in_model_yaml(new_project: Callable[..., Project]) -> None:
    """A gate on a measure that nobody defines, and a measure named like one of Towpath's, are refused."""
    gates = "gates:\n  - {metric: roc_auc, min: 0.6}\n"
    with pytest.raises(InvalidFileError, match="profit does not measure a binary task"):
        new_project(spec=(gates, "gates: [{metric: profit, min: 1}]\n"))
    with pytest.raises(InvalidFileError, match="already; choose another name"):
        new_project(spec=(gates, "business: {recall: {function: a.b:c}}\n"))
    with pytest.raises(InvalidFileError, match="decides without one"):
        new_project(spec=("task: binary", "threshold: {recall: 0.9}\ntask: multiclass"))


def test_a_changed_measure_makes_evidence_stale(shop_with: Callable[[str], Project]) -> None:
    """What `business` says is part of the digest that evaluation and comparison evidence is judged by."""
    from towpath_gitops.records.evidence import gate_digest  # noqa: PLC0415 (only here)

    one = shop_with("saved").spec.plain()
    other = one | {"business": {}}
    changed = {kind for kind in Kind if gate_digest(one, kind) != gate_digest(other, kind)}
    assert changed == {Kind.EVALUATION, Kind.COMPARISON}


def test_the_owners_code_is_found_below_src(shop_with: Callable[[str], Project], tmp_path: Path) -> None:
    """The function is the repository's own, wherever Towpath is started."""
    assert (
        shop_with("saved")
        .load_owners("shop.worth:saved", "business.saved")
        .__code__.co_filename.startswith(str(tmp_path))
    )
