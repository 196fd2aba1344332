from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_flows.evaluation.bootstrap import Estimate
from towpath_flows.evaluation.gates import evaluate, judge, reliability
from towpath_flows.evaluation.slices import false_discoveries, judge_slices, measure_slices
from towpath_flows.spec import MetricGate, ModelSpec, SliceGate
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.figures import Bin

SPEC: dict[str, Any] = {
    "name": "toy",
    "target": "y",
    "data": {"train": {"file": "toy.parquet"}},
    "schema": "toy.schema:Toy",
}


def _answers(rows: int = 3000, seed: int = 0, strength: float = 1.0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, rows)
    return y, 1 / (1 + np.exp(-random.normal(strength * y, 1)))[:, None]


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.70, 0.74), Verdict.PASS), ((0.67, 0.73), Verdict.INCONCLUSIVE), ((0.60, 0.69), Verdict.FAIL)],
)
def test_a_floor_looks_at_the_whole_interval(interval: tuple[float, float], verdict: Verdict) -> None:
    """Above the floor passes, below fails, astride is inconclusive."""
    finding = judge(MetricGate(metric="roc_auc", min=0.7), Estimate(sum(interval) / 2, *interval), 1000)
    assert finding.verdict is verdict
    assert (finding.needed_rows is not None) == (verdict is Verdict.INCONCLUSIVE and sum(interval) != 1.4)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.50, 0.60), Verdict.PASS), ((0.55, 0.66), Verdict.INCONCLUSIVE), ((0.61, 0.70), Verdict.FAIL)],
)
def test_a_ceiling_looks_the_other_way(interval: tuple[float, float], verdict: Verdict) -> None:
    """Below the ceiling passes, above fails, astride is inconclusive."""
    gate = MetricGate(metric="log_loss", max=0.6)
    assert judge(gate, Estimate(sum(interval) / 2, *interval), 1000).verdict is verdict


def test_the_message_is_understood_without_the_code() -> None:
    """A finding names the metric as people do, its interval, the rows, and which limit it meets."""
    finding = judge(MetricGate(metric="roc_auc", min=0.7), Estimate(0.75, 0.72, 0.78), 1234)
    assert finding.message == "ROC AUC is 0.7500 (95% interval 0.7200 to 0.7800) on 1,234 rows: meets the floor of 0.7"


def test_an_undefined_metric_is_an_error() -> None:
    """A metric without a value never passes."""
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    assert judge(MetricGate(metric="roc_auc", min=0.1), nothing, 10).verdict is Verdict.ERROR


def test_every_metric_is_measured_and_the_gates_are_judged() -> None:
    """Evaluation keeps every metric of the task with its interval, and one finding for each gate."""
    spec = ModelSpec.model_validate(
        {**SPEC, "gates": [{"metric": "roc_auc", "min": 0.6}, {"metric": "brier", "max": 0.1}]}
    )
    y, p = _answers()
    assessment = evaluate(spec, y, p, {}, ("2026-01-01", None))
    assert [finding.verdict for finding in assessment.findings] == [Verdict.PASS, Verdict.FAIL]
    assert len(assessment.details["metrics"]) == 12
    assert assessment.details["window"] == ["2026-01-01", None]
    assert sum(each["rows"] for each in assessment.details["calibration"]) == 3000


def test_no_gate_is_no_pass() -> None:
    """A model.yaml without metric gates judges nothing: an error that shows how to write one."""
    (finding,) = evaluate(ModelSpec.model_validate(SPEC), *_answers(200), {}, (None, None)).findings
    assert finding.verdict is Verdict.ERROR
    assert "{metric: roc_auc, min: 0.7}" in finding.message


def test_regression_and_multiclass_are_judged_as_well() -> None:
    """The gates do not assume a binary task."""
    random = np.random.default_rng(0)
    y = random.normal(0, 5, 500)
    spec = ModelSpec.model_validate({**SPEC, "task": "regression", "gates": [{"metric": "rmse", "max": 2}]})
    assert evaluate(spec, y, (y + random.normal(0, 1, 500))[:, None], {}, (None, None)).verdict is Verdict.PASS
    codes = random.integers(0, 3, 500)
    spec = ModelSpec.model_validate({**SPEC, "task": "multiclass", "gates": [{"metric": "accuracy", "min": 0.9}]})
    assert evaluate(spec, codes, np.eye(3)[codes], {}, (None, None)).verdict is Verdict.PASS


def test_reliability_holds_only_bins_with_rows() -> None:
    """A reliability curve has no invented points."""
    assert reliability(np.array([0, 1]), np.array([0.05, 1.0])) == (
        Bin(predicted=0.05, observed=0.0, rows=1),
        Bin(predicted=1.0, observed=1.0, rows=1),
    )


# --- slices -------------------------------------------------------------------------------------------------------

GATE = SliceGate(metric="roc_auc", slice="group", gap=0.1)


def test_a_group_that_fares_worse_is_found() -> None:
    """A group in which the answers say nothing fails the gate and is named."""
    y, p = _answers(6000, strength=1.5)
    groups = np.array(["a", "b", "c"], dtype=object)[np.arange(6000) % 3]
    p[groups == "b"] = np.random.default_rng(1).random((2000, 1))
    finding = judge_slices(measure_slices("binary", y, p, groups, GATE), GATE)
    assert finding.verdict is Verdict.FAIL
    assert "1 of 3 groups" in finding.message
    assert "group = b" in finding.message


def test_groups_that_differ_by_chance_pass() -> None:
    """Many groups of one population rarely give a false alarm."""
    y, p = _answers(8000)
    groups = np.array([f"g{index % 20}" for index in range(8000)], dtype=object)
    results = measure_slices("binary", y, p, groups, GATE)
    assert len(results) == 20
    assert judge_slices(results, GATE).verdict is Verdict.PASS


def test_small_groups_are_not_judged() -> None:
    """Groups without enough rows are told of, and when all are small the verdict is inconclusive."""
    y, p = _answers(1000)
    groups = np.array(["large"] * 950 + ["small"] * 50, dtype=object)
    results = measure_slices("binary", y, p, groups, GATE)
    assert [result.value for result in results] == ["large"]
    assert "1 more have too few rows" in judge_slices(results, GATE, skipped=1).message
    assert judge_slices([], GATE).verdict is Verdict.INCONCLUSIVE


def test_hostile_values_cannot_break_a_message() -> None:
    """A slice value with line breaks stays one line."""
    y, p = _answers(1000)
    groups = np.full(1000, "a\n\x00b", dtype=object)
    assert "a  b" in judge_slices(measure_slices("binary", y, p, groups, GATE), GATE).message


def test_false_discovery_control_follows_benjamini_and_hochberg() -> None:
    """The worked example of the paper: 15 tests, four rejected at 5 %."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1,
    ]
    assert sum(false_discoveries(p, 0.05)) == 4


@given(st.lists(st.floats(0, 1), max_size=30))
def test_control_rejects_no_more_than_without_it(p_values: list[float]) -> None:
    """Correction never rejects what the plain test would keep, and rejects the smallest first."""
    rejected = false_discoveries(p_values, 0.05)
    assert len(rejected) == len(p_values)
    assert all(p <= 0.05 for p, bad in zip(p_values, rejected, strict=True) if bad)
    kept = [p for p, bad in zip(p_values, rejected, strict=True) if not bad]
    assert all(p <= min(kept, default=1) for p, bad in zip(p_values, rejected, strict=True) if bad)
