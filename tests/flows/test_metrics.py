from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as reference

from towpath_flows.evaluation.bootstrap import (
    Estimate,
    estimates,
    resample,
    rows_to_settle,
    summarise,
)
from towpath_flows.evaluation.draws import PoissonLaw, resample_counts
from towpath_flows.evaluation.metrics import METRICS, Floats, decide, metrics_of
from towpath_flows.spec import METRICS as DECLARED
from towpath_gitops.records.signature import Task

Array = np.ndarray[Any, Any]

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(400) < 0.3).astype(int)
P = np.round(np.clip(0.3 * Y + RANDOM.random(400) * 0.7, 0.001, 0.999), 2)[:, None]
CODES = RANDOM.integers(0, 3, 400)
SHARES = RANDOM.dirichlet([1, 1, 1], 400) + 0.8 * np.eye(3)[CODES]
SHARES /= SHARES.sum(axis=1, keepdims=True)
VALUES = RANDOM.normal(1e6, 3, 400)
GUESSES = (VALUES + RANDOM.normal(0, 1, 400))[:, None]

LABELS = (P[:, 0] >= 0.5).astype(int)
CHOICE = SHARES.argmax(axis=1)
EXPECTED = [
    ("binary", "roc_auc", reference.roc_auc_score(Y, P[:, 0])),
    ("binary", "average_precision", reference.average_precision_score(Y, P[:, 0])),
    ("binary", "log_loss", reference.log_loss(Y, P[:, 0])),
    ("binary", "brier", reference.brier_score_loss(Y, P[:, 0])),
    ("binary", "accuracy", reference.accuracy_score(Y, LABELS)),
    ("binary", "balanced_accuracy", reference.balanced_accuracy_score(Y, LABELS)),
    ("binary", "f1", reference.f1_score(Y, LABELS)),
    ("binary", "precision", reference.precision_score(Y, LABELS)),
    ("binary", "recall", reference.recall_score(Y, LABELS)),
    ("binary", "specificity", reference.recall_score(Y, LABELS, pos_label=0)),
    ("binary", "mcc", reference.matthews_corrcoef(Y, LABELS)),
    ("multiclass", "roc_auc", reference.roc_auc_score(CODES, SHARES, multi_class="ovr")),
    ("multiclass", "brier", reference.brier_score_loss(CODES, SHARES, scale_by_half=False)),
    ("multiclass", "mcc", reference.matthews_corrcoef(CODES, CHOICE)),
    ("multiclass", "log_loss", reference.log_loss(CODES, SHARES)),
    ("multiclass", "accuracy", reference.accuracy_score(CODES, CHOICE)),
    ("multiclass", "balanced_accuracy", reference.balanced_accuracy_score(CODES, CHOICE)),
    ("multiclass", "f1", reference.f1_score(CODES, CHOICE, average="macro")),
    ("regression", "rmse", reference.root_mean_squared_error(VALUES, GUESSES[:, 0])),
    ("regression", "mae", reference.mean_absolute_error(VALUES, GUESSES[:, 0])),
    ("regression", "r2", reference.r2_score(VALUES, GUESSES[:, 0])),
    ("regression", "median_absolute_error", reference.median_absolute_error(VALUES, GUESSES[:, 0])),
    ("regression", "mape", reference.mean_absolute_percentage_error(VALUES, GUESSES[:, 0])),
    ("regression", "bias", abs(float(np.mean(GUESSES[:, 0] - VALUES)))),
]
DATA = {"binary": (Y, P), "multiclass": (CODES, SHARES), "regression": (VALUES, GUESSES)}


@pytest.mark.parametrize(("task", "name", "expected"), EXPECTED)
def test_agrees_with_scikit_learn(task: Task, name: str, expected: float) -> None:
    """Every metric equals scikit-learn's, ties included."""
    assert METRICS[name].measure(task, *DATA[task]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_table_holds_what_model_yaml_may_name(task: Task) -> None:
    """The metrics that model.yaml may name for a task are those of the table."""
    assert {metric.name for metric in metrics_of(task)} == set(DECLARED[task])


@pytest.mark.parametrize(
    ("task", "name"),
    [(task, name) for task, name, _ in EXPECTED]
    + [("binary", "calibration_error"), ("multiclass", "calibration_error")],
)
def test_counts_stand_for_repeated_rows(task: Task, name: str) -> None:
    """A metric under row counts equals the metric of the table in which rows are repeated that often."""
    counts = RANDOM.integers(0, 4, 400)
    y, p = DATA[task]
    weighted = METRICS[name].prepare(task, y, p)(counts[None].astype(float))[0]
    assert weighted == pytest.approx(METRICS[name].measure(task, y.repeat(counts), p.repeat(counts, axis=0)), rel=1e-9)


def test_calibration_error_of_honest_probabilities_is_small() -> None:
    """The calibration error is the mean gap between promise and outcome over tenths."""
    chance = np.repeat([0.1, 0.9], 100)[:, None]
    came = np.concatenate([np.arange(100) < 10, np.arange(100) < 80]).astype(int)
    assert METRICS["calibration_error"].measure("binary", came, chance) == pytest.approx(0.05)


def test_the_calibration_of_many_classes_is_that_of_the_class_decided_for() -> None:
    """Certain and always right is no error; certain and right every other time is one of a half."""
    codes, sure = np.arange(100) % 4, np.eye(4)[np.arange(100) % 4]
    error = METRICS["calibration_error"]
    assert error.measure("multiclass", codes, sure) == 0
    assert error.measure("multiclass", np.where(np.arange(100) < 50, codes, (codes + 1) % 4), sure) == 0.5


def test_percentages_leave_out_rows_whose_truth_is_nothing() -> None:
    """A share of nothing is not defined: such rows do not count, and where there are no others there is no value."""
    mape = METRICS["mape"]
    assert mape.measure("regression", np.array([0.0, 2.0]), np.array([[5.0], [3.0]])) == 0.5
    assert np.isnan(mape.measure("regression", np.zeros(3), np.ones((3, 1))))


def test_one_class_has_no_roc_auc() -> None:
    """A metric that is not defined on the rows is NaN, not a number that looks like one."""
    assert np.isnan(METRICS["roc_auc"].measure("binary", np.ones(5), P[:5]))


@given(arrays(np.float64, 30, elements=st.floats(0, 1)), arrays(np.int64, 30, elements=st.integers(0, 1)))
@settings(max_examples=60, deadline=None)
def test_roc_auc_is_symmetric(p: Floats, y: Array) -> None:
    """Turning the answers around turns ROC AUC around one half."""
    area = METRICS["roc_auc"].measure("binary", y, p[:, None])
    turned = METRICS["roc_auc"].measure("binary", y, -p[:, None])
    assert (np.isnan(area) and np.isnan(turned)) or area == pytest.approx(1 - turned)


@given(arrays(np.float64, 25, elements=st.floats(0, 1)), arrays(np.int64, 25, elements=st.integers(0, 1)))
@settings(max_examples=60, deadline=None)
def test_average_precision_agrees_under_ties(p: Floats, y: Array) -> None:
    """Average precision equals scikit-learn's for any answers, tied or not."""
    if y.any():
        expected = reference.average_precision_score(y, p)
        assert METRICS["average_precision"].measure("binary", y, p[:, None]) == pytest.approx(expected)


def test_threshold_decides_binary_labels() -> None:
    """A probability equal to the threshold decides for the second class."""
    assert decide("binary", np.array([[0.2], [0.3], [0.4]]), 0.3).tolist() == [0, 1, 1]


def test_draws_are_of_full_size_and_repeatable() -> None:
    """Each resample draws as many rows as there are, and a seed gives the same draws."""
    first, second = (np.concatenate(list(resample_counts(1000, 50, 3))) for _ in range(2))
    assert first.shape == (50, 1000)
    assert (first.sum(axis=1) == 1000).all()
    assert (first == second).all()


def test_interval_of_a_mean_has_the_textbook_width() -> None:
    """The percentile interval of an accuracy is as wide as the binomial's normal approximation."""
    y, p = np.ones(2000), (np.arange(2000) < 1600).astype(float)[:, None]
    found = estimates({"accuracy": METRICS["accuracy"].prepare("binary", y, p)}, 2000)["accuracy"]
    assert found.value == 0.8
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 2000) ** 0.5, rel=0.1)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """About 95 of 100 intervals hold the true ROC AUC."""
    random, hits = np.random.default_rng(1), 0
    for seed in range(100):
        y = random.integers(0, 2, 300)
        p = (random.normal(y, 1.0))[:, None]
        low, high = np.quantile(
            resample([METRICS["roc_auc"].prepare("binary", y, p)], 300, resamples=300, seed=seed), [0.025, 0.975]
        )
        hits += low <= 0.7602 <= high  # the area between two normal distributions one deviation apart
    assert hits >= 88


def test_resamples_without_an_answer_are_left_out() -> None:
    """NaN resamples, as of one class only, do not spoil an interval; without any answer there is none."""
    assert summarise(0.5, np.array([0.4, np.nan, 0.6])).low == pytest.approx(0.405)
    assert np.isnan(summarise(0.5, np.array([np.nan])).low)


def test_no_rows_cannot_be_resampled() -> None:
    """A bootstrap of nothing is refused."""
    with pytest.raises(ValueError, match="at least one row"):
        resample([METRICS["mae"].prepare("regression", VALUES, GUESSES)], 0)


def test_needed_rows_grow_with_the_square() -> None:
    """Halving the distance to the limit quadruples the rows; on the limit no number of rows will do."""
    assert rows_to_settle(Estimate(0.70, 0.66, 0.74), 0.68, 1000) == pytest.approx(4000, abs=1)
    assert rows_to_settle(Estimate(0.69, 0.65, 0.73), 0.68, 1000) == pytest.approx(16000, abs=1)
    assert rows_to_settle(Estimate(0.68, 0.64, 0.72), 0.68, 1000) is None


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_counts_have_the_law_of_drawing_rows_one_by_one(rows: int) -> None:
    """So often is a row drawn, and so often are two rows together, as a binomial law says."""
    counts = np.concatenate(list(resample_counts(rows, 40_000, 5)))
    assert (counts.sum(axis=1) == rows).all()
    for drawn, chance in ((counts[:, 0], 1 / rows), (counts[:, -2:].sum(axis=1), min(2, rows) / rows)):
        expected = len(counts) * stats.binom.pmf(np.arange(rows + 1), rows, chance)
        found, some = np.bincount(drawn, minlength=rows + 1), expected > 5
        assert found[~some].sum() <= 20
        assert (
            stats.chisquare(
                np.append(found[some], found[~some].sum() + 1), np.append(expected[some], expected[~some].sum() + 1)
            ).pvalue
            > 1e-3
        )


@pytest.mark.parametrize("mean", [0.0, 0.37, 0.99])
def test_sixteen_bits_make_poisson_counts_without_error(mean: float) -> None:
    """What 16 bits are too coarse for is drawn apart: together the chances are those of the law."""
    law = PoissonLaw.of(mean)
    chances = np.diff([0, *law.steps, law.known], append=law.known) / 65_536
    chances = np.pad(chances, (0, 20))[:20] + (1 - law.known / 65_536) * np.diff(law.rest, prepend=0)
    np.testing.assert_allclose(chances, stats.poisson.pmf(np.arange(20), mean), atol=1e-15)
    assert law.draw(np.random.default_rng(0), 100_001).mean() == pytest.approx(mean, abs=0.02)


def test_paired_areas_on_many_rows_are_those_of_a_loop() -> None:
    """On the same draws of 20,001 rows, both models' ROC AUC is what scikit-learn finds for each resample."""
    random = np.random.default_rng(2)
    y = (random.random(20_001) < 0.2).astype(int)
    models = [np.round(random.normal(y, 1.0), digits)[:, None] for digits in (2, 9)]
    found = resample([METRICS["roc_auc"].prepare("binary", y, p) for p in models], len(y), resamples=7, seed=4)
    draws = np.concatenate(list(resample_counts(len(y), 7, 4)))
    expected = [[reference.roc_auc_score(np.repeat(y, c), np.repeat(p[:, 0], c)) for p in models] for c in draws]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
