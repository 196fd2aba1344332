from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from towpath_flows.data.drift import (
    ColumnDrift,
    chi_square,
    compare,
    false_alarm_rate,
    holm,
    kolmogorov_smirnov,
    stability,
)

Array = np.ndarray[Any, Any]

RANDOM = np.random.default_rng(0)
ALPHA = 0.01


def _numbers(rows: int = 4000, mean: float = 0.0, missing: float = 0.0, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    values = random.normal(mean, 1, rows).astype(np.float32)
    values[random.random(rows) < missing] = np.nan
    return values


def _words(rows: int = 4000, shares: tuple[float, ...] = (0.5, 0.3, 0.2), seed: int = 0) -> Array:
    return np.random.default_rng(seed).choice(["a", "b", ""], rows, p=shares).astype(object)


def _one(reference: Array, window: Array) -> ColumnDrift:
    (found,) = compare({"x": reference}, {"x": window}, alpha=ALPHA)
    return found


def test_the_same_population_has_not_drifted() -> None:
    """Two samples of one population do not raise an alarm."""
    assert not _one(_numbers(seed=1), _numbers(seed=2)).drifted
    assert not _one(_words(seed=1), _words(seed=2)).drifted


def test_a_moved_mean_is_drift() -> None:
    """Numbers that moved by half a deviation have drifted, by a test and by the index."""
    found = _one(_numbers(), _numbers(mean=0.5, seed=1))
    assert found.drifted
    assert (found.test, found.size) == ("Kolmogorov-Smirnov", "moderate")


def test_other_shares_of_categories_are_drift() -> None:
    """Categories with other shares have drifted."""
    found = _one(_words(), _words(shares=(0.2, 0.6, 0.2), seed=1))
    assert found.drifted
    assert found.test == "chi-square"


def test_a_new_category_is_drift() -> None:
    """A value that the reference never had fills a bin of its own."""
    assert _one(_words(), np.where(RANDOM.random(4000) < 0.2, "new", _words(seed=1)).astype(object)).drifted


def test_vanished_values_are_drift() -> None:
    """Values that go missing have drifted even when the rest is as before."""
    found = _one(_numbers(), _numbers(missing=0.3, seed=1))
    assert found.drifted
    assert found.missing == (0.0, pytest.approx(0.3, abs=0.03))


def test_significance_alone_is_not_drift() -> None:
    """With many rows a tiny shift is significant and still does not matter."""
    found = _one(_numbers(60_000), _numbers(60_000, mean=0.05, seed=1))
    assert found.adjusted < ALPHA
    assert not found.drifted


def test_size_alone_is_not_drift() -> None:
    """With few rows the index is large by chance and proves nothing."""
    found = _one(_numbers(30), _numbers(30, mean=0.3, seed=3))
    assert found.psi > 0.1
    assert not found.drifted


def test_false_alarms_stay_rare_over_many_columns() -> None:
    """Twenty columns of unchanged data raise at most a few alarms in a hundred looks."""
    alarms = 0
    for look in range(40):
        sides = [{str(c): _numbers(300, seed=1000 * look + 50 * side + c) for c in range(20)} for side in range(2)]
        alarms += any(column.adjusted <= ALPHA for column in compare(*sides, alpha=ALPHA))
    assert alarms <= 2


def test_the_farthest_moved_comes_first() -> None:
    """Columns are sorted by how far they moved."""
    reference = {"still": _numbers(), "far": _numbers(seed=1), "near": _numbers(seed=2)}
    window = {"still": _numbers(seed=3), "far": _numbers(mean=2, seed=4), "near": _numbers(mean=0.5, seed=5)}
    assert [column.column for column in compare(reference, window, alpha=ALPHA)] == ["far", "near", "still"]


def test_all_missing_columns_are_answered() -> None:
    """A column without any value on one side or both neither raises nor warns."""
    empty = np.full(100, np.nan, dtype=np.float32)
    assert not _one(empty, empty).drifted
    assert _one(_numbers(500), np.full(500, np.nan, dtype=np.float32)).drifted
    assert not _one(np.full(100, "", dtype=object), np.full(100, "", dtype=object)).drifted


def test_constant_columns_are_answered() -> None:
    """A number that never varies has not drifted until it does."""
    assert not _one(np.full(500, 3.0, dtype=np.float32), np.full(500, 3.0, dtype=np.float32)).drifted
    assert _one(np.full(500, 3.0, dtype=np.float32), np.full(500, 4.0, dtype=np.float32)).drifted


def test_many_categories_share_a_bin() -> None:
    """A column of thousands of names is compared by its most frequent ones."""
    names = np.array([f"n{index}" for index in range(3000)], dtype=object)
    found = _one(RANDOM.choice(names, 5000), RANDOM.choice(names, 5000))
    assert not found.drifted
    assert found.psi < 0.1


def test_tests_agree_with_scipy() -> None:
    """The statistics are those of the library."""
    one, other = _numbers(), _numbers(mean=0.1, seed=1)
    assert kolmogorov_smirnov(one, other)[1] == pytest.approx(stats.ks_2samp(one, other, method="asymp").pvalue)
    table = [[(_words(seed=s) == name).sum() for name in ("", "a", "b")] for s in (0, 1)]
    assert chi_square(_words(seed=0), _words(seed=1))[1] == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )


def test_stability_of_a_worked_example() -> None:
    """(0.4 - 0.5) ln(0.4 / 0.5) + (0.6 - 0.5) ln(0.6 / 0.5)."""
    assert stability(np.array([50.0, 50.0]), np.array([40.0, 60.0])) == pytest.approx(0.0405465)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_only_ever_raises_p_values(p_values: list[float]) -> None:
    """Corrected p-values are at least the plain ones, at most one, and keep their order."""
    adjusted = holm(p_values)
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_holm_follows_the_paper() -> None:
    """The smallest is multiplied by their number, the next by one less."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_alpha_follows_from_what_is_borne() -> None:
    """One false alarm in thirty days, looking every hour, leaves 1/720 for each look."""
    assert false_alarm_rate(1 / 30, 3600) == pytest.approx(1 / 720)
    assert false_alarm_rate(100, 86400) == 0.5
