import time

import numpy as np
import pytest

from towpath_flows.evaluation.bootstrap import Estimate
from towpath_flows.evaluation.comparison import Difference, Duel, compare, difference, differences, judge, no_champion
from towpath_flows.evaluation.metrics import metrics_of
from towpath_flows.spec import ComparisonGate, Metric
from towpath_gitops.records.evidence import Verdict


def _duel(rows: int = 2000, gain: float = 0.0, noise: float = 0.2, seed: int = 0) -> Duel:
    """Return a duel in which the challenger knows `gain` more about the truth."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, rows)
    shared = random.normal(0.8 * y, 1)
    answers = [shared + random.normal(0, noise, rows), shared + gain * y + random.normal(0, noise, rows)]
    champion, challenger = (1 / (1 + np.exp(-each))[:, None] for each in answers)
    return Duel("binary", y, champion, challenger)


def _gate(margin: float, metric: Metric = "roc_auc") -> ComparisonGate:
    return ComparisonGate(metric=metric, against="champion", margin=margin)


def test_a_better_challenger_passes() -> None:
    """A challenger that is better beyond chance passes and is called better."""
    finding = judge(difference(_duel(gain=0.5), "roc_auc"), _gate(0.0))
    assert finding.verdict is Verdict.PASS
    assert finding.message.endswith("better")


def test_an_equal_challenger_is_not_inferior() -> None:
    """The same answers differ by nothing, whatever the margin."""
    duel = _duel()
    finding = judge(difference(Duel("binary", duel.y, duel.champion, duel.champion), "roc_auc"), _gate(0.0))
    assert (finding.verdict, finding.interval) == (Verdict.PASS, (0.0, 0.0))


def test_a_worse_challenger_fails() -> None:
    """A challenger whose whole interval is below the margin fails, with both values in the message."""
    finding = judge(difference(_duel(gain=-0.5), "roc_auc"), _gate(0.002))
    assert finding.verdict is Verdict.FAIL
    assert "worse by more than 0.002" in finding.message
    assert finding.needed_rows is None


def test_too_few_rows_are_inconclusive_and_say_how_many_more() -> None:
    """An interval that holds the margin holds the release, and names the rows that would settle it."""
    finding = judge(difference(_duel(rows=150, noise=0.5, seed=4), "roc_auc"), _gate(0.002))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.needed_rows
    assert finding.needed_rows > 150
    assert "rows would settle it" in finding.message


def test_less_is_better_is_turned_around() -> None:
    """For a loss, a positive difference is worse and the limit is the positive margin."""
    worse = judge(difference(_duel(gain=-0.8), "log_loss"), _gate(0.01, "log_loss"))
    assert worse.verdict is Verdict.FAIL
    assert worse.measured > worse.limit == 0.01


def test_pairing_narrows_the_interval() -> None:
    """Models that answer alike have a far narrower interval of the difference than of either value."""
    found = difference(_duel(noise=0.05), "roc_auc").difference
    assert found.high - found.low < 0.01


def test_an_undefined_metric_is_an_error() -> None:
    """Rows of one class cannot be compared by ROC AUC: an error, never a pass."""
    duel = Duel("binary", np.ones(50), np.full((50, 1), 0.2), np.full((50, 1), 0.4))
    assert judge(difference(duel, "roc_auc"), _gate(0.1)).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-0.01, 0.02), Verdict.PASS), ((-0.0101, 0.02), Verdict.INCONCLUSIVE), ((-0.03, -0.0101), Verdict.FAIL)],
)
def test_the_margin_itself_is_allowed(interval: tuple[float, float], verdict: Verdict) -> None:
    """The lower end may lie on the margin; a hair below it does not pass."""
    measured = Difference("roc_auc", 0.7, 0.7, Estimate(sum(interval) / 2, *interval), 1000)
    assert judge(measured, _gate(0.01)).verdict is verdict


def test_without_a_champion_it_passes_and_says_so() -> None:
    """The first release has nobody to lose to."""
    finding = no_champion(_gate(0.0))
    assert finding.verdict is Verdict.PASS
    assert "no champion" in finding.message


def test_every_metric_of_the_task_is_measured_the_judged_ones_first() -> None:
    """What no gate judges is shown, too, without a margin; what one judges keeps the verdict's own figures."""
    gate = _gate(0.01, "brier")
    measured = compare(_duel(rows=300), [gate])
    shown = [found.figures(judged) for found, judged in measured]
    assert {each.metric for each in shown} == {metric.name for metric in metrics_of("binary")}
    assert [(each.metric, each.margin) for each in shown[:2]] == [("brier", 0.01), ("roc_auc", None)]
    assert shown[0].interval == difference(_duel(rows=300), "brier").difference.interval


def test_a_rough_interval_is_about_the_exact_one() -> None:
    """Two hundred resamples and a normal curve give nearly the ends of two thousand and their percentiles."""
    duel = _duel(rows=1000)
    (rough,), exact = differences(duel, ["roc_auc"]), difference(duel, "roc_auc").difference
    width = exact.high - exact.low
    assert rough.difference.value == exact.value
    assert rough.difference.interval == pytest.approx(exact.interval, abs=0.25 * width)


def test_a_metric_that_is_not_defined_has_no_figures() -> None:
    """Rows of one class have no ROC AUC, but a Brier score."""
    duel = Duel("binary", np.ones(50), np.full((50, 1), 0.2), np.full((50, 1), 0.4))
    shown = {found.metric: found.figures(None) for found, _ in compare(duel, [])}
    assert shown["roc_auc"] is None
    assert shown["brier"].difference == pytest.approx(-0.28)


def test_each_model_decides_by_the_threshold_that_it_is_served_with() -> None:
    """Equal probabilities and another threshold are other decisions, and another accuracy."""
    p = np.array([[0.4], [0.6], [0.9], [0.1]])
    duel = Duel("binary", np.array([1, 1, 1, 0]), p, p, threshold=0.3, champion_threshold=0.8)
    before, after = duel.decisions
    assert (before.tolist(), after.tolist()) == ([0, 0, 1, 0], [1, 1, 1, 0])
    assert difference(duel, "accuracy").difference.value == 0.5


def test_thirty_thousand_rows_are_compared_in_seconds() -> None:
    """Two thousand paired resamples of 30,000 rows take seconds, not minutes."""
    start = time.process_time()
    difference(_duel(rows=30_000), "roc_auc")
    assert time.process_time() - start < 20
