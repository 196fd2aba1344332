import time

import numpy as np
import pytest

from towpath_flows.evaluation.bootstrap import Estimate
from towpath_flows.evaluation.comparison import Difference, Duel, by_slice, difference, flips, judge, no_champion
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


def test_flips_count_changed_decisions() -> None:
    """Decisions that differ are counted, and how many of them became right."""
    duel = Duel(
        "binary", np.array([1, 0, 1, 0]), np.array([[0.4], [0.6], [0.9], [0.1]]), np.array([[0.6], [0.7], [0.2], [0.2]])
    )
    assert flips(duel) == {"flips": 2, "flipped": 0.5, "corrected": 1}


def test_regression_has_no_flips() -> None:
    """Values are not decisions: nothing flips."""
    y = np.arange(5.0)
    assert flips(Duel("regression", y, y[:, None], y[:, None] + 1))["flips"] == 0


def test_slices_show_both_models() -> None:
    """Each value of a slice column is shown with both values; an undefined one is null, not NaN."""
    duel = _duel(rows=400)
    groups = np.where(np.arange(400) < 399, "a", "b").astype(object)
    large, small = by_slice(duel, "roc_auc", {"group": groups})
    assert (large["value"], large["rows"]) == ("a", 399)
    assert 0.5 < large["champion"] < 1
    assert small["champion"] is None


def test_thirty_thousand_rows_are_compared_in_seconds() -> None:
    """Two thousand paired resamples of 30,000 rows take seconds, not minutes."""
    start = time.process_time()
    difference(_duel(rows=30_000), "roc_auc")
    assert time.process_time() - start < 20
