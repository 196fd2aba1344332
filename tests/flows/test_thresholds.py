"""The threshold is chosen on validation rows, by what mistakes cost or by a rate, and is served."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_flows.data import load, split, validate
from towpath_flows.evaluation import thresholds
from towpath_flows.evaluation.judgement import assess_worth
from towpath_flows.evaluation.thresholds import choose, curve
from towpath_flows.evidence_spec import CostMatrix, ThresholdSpec
from towpath_flows.project import Project
from towpath_flows.training import export, fit, tune
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.evidence import Verdict

Y = np.array([0, 0, 1, 0, 1, 1])
P = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])


def _rule(**fields: object) -> ThresholdSpec:
    return ThresholdSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"cost": {"false_alarm": 1, "miss": 5}}, 0.25),  # one false alarm rather than one miss
        ({"cost": {"false_alarm": 5, "miss": 1}}, 0.65),
        ({"recall": 1.0 - 1e-9}, 0.25),
        ({"recall": 0.6}, 0.65),
        ({"precision": 0.99}, 0.65),
        ({"precision": 0.7}, 0.25),
        ({"false_alarms": 0.01}, 0.65),
        ({"positives": 0.5}, 0.45),
    ],
)
def test_each_rule_finds_its_threshold(rule: dict[str, Any], expected: float) -> None:
    """Six rows whose best cut can be seen with the eye; it lies in the middle of its gap."""
    assert choose(_rule(**rule), Y, P).value == pytest.approx(expected)


def test_the_choice_tells_what_it_costs_and_what_a_half_would_cost() -> None:
    """A reader sees what the rule bought: the mean cost at the threshold and at 0.5, on the same rows."""
    found = choose(_rule(cost={"false_alarm": 1, "miss": 5}), Y, P)
    assert found.point.cost == pytest.approx(1 / 6)
    assert found.at_half.cost == pytest.approx(1.0)
    assert (found.point.recall, found.at_half.recall) == (1.0, pytest.approx(2 / 3))
    assert "5 for a miss" in found.rule


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.999)), min_size=2, max_size=40), st.floats(0.1, 20))
def test_no_other_threshold_costs_less(rows: list[tuple[bool, float]], miss: float) -> None:
    """The chosen threshold is never beaten by any other on the rows it was chosen on."""
    y, p = np.array([truth for truth, _ in rows]).astype(int), np.array([chance for _, chance in rows])
    if not 0 < y.sum() < len(y):
        return
    found = choose(_rule(cost={"false_alarm": 1, "miss": miss}), y, p)

    def cost(threshold: float) -> float:
        decided = p >= threshold
        return float(np.mean((decided & (y == 0)) + miss * (~decided & (y == 1))))

    assert all(cost(found.value) <= cost(other) + 1e-3 * miss for other in (0.0, *p, 1.0))


def test_what_cannot_be_reached_is_said() -> None:
    """A precision that no threshold has, and rows of one class, are errors with their figures."""
    with pytest.raises(TrainingError, match="No threshold reaches the target"):
        choose(_rule(precision=0.9), np.array([0, 1, 0]), np.array([0.9, 0.8, 0.7]))
    with pytest.raises(TrainingError, match="one class only"):
        choose(_rule(recall=0.9), np.zeros(3), P[:3])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "give one of"),
        ({"recall": 0.5, "precision": 0.5}, "give one of"),
        ({"cost": {"false_alarm": 1, "miss": 1, "hit": 2}}, "must cost more"),
    ],
)
def test_a_rule_is_one_and_makes_sense(fields: dict[str, Any], words: str) -> None:
    """Two rules, none, or costs that reward mistakes are refused."""
    with pytest.raises(ValueError, match=words):
        _rule(**fields)


def test_a_curve_is_short_and_spans_all_decisions() -> None:
    """About fifty points, from deciding for nobody to deciding for everybody, recall never falling."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 5000)
    found = curve(y, random.random(5000), CostMatrix(false_alarm=1, miss=2))
    assert len(found) <= 2 * thresholds._POINTS
    assert (found[0].positives, found[-1].positives) == (0, 1)
    assert all(one.recall <= other.recall for one, other in pairwise(found))


COST = "threshold: {cost: {false_alarm: 1, miss: 4}}\nentity: order_id\n"
GATED = "  - {metric: roc_auc, min: 0.6}\n  - {metric: cost, max: 1.5}\n"


def test_the_threshold_is_served_and_its_cost_can_be_gated(new_project: Callable[..., Project], tmp_path: Path) -> None:
    """From model.yaml to the signature that is served, and to evidence with the cost on the test rows."""
    project = new_project(spec=("entity: order_id\n", COST))
    project = Project(
        project.root,
        type(project.spec).model_validate(
            project.spec.plain() | {"gates": [{"metric": "cost", "max": 1.5}, {"metric": "recall", "min": 0.5}]}
        ),
    )
    parts = split(project, validate(project, load(project)).frame)
    model = fit(project, parts, tune(project, parts))
    exported = export(model, parts, tmp_path / "artifact")
    assert exported.threshold
    assert exported.signature.threshold == exported.threshold.value < 0.5
    found = assess_worth(project, exported.folder, parts.test, exported.threshold)
    assert [finding.verdict for finding in found.findings] == [Verdict.PASS, Verdict.PASS]
    assert found.details["metrics"]["cost"]["label"] == "mean cost"
    assert found.details["threshold"]["rows"] == len(parts.validation)
    assert found.details["curve"][0]["cost"] is not None
