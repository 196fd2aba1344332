"""The replay: the same rows every time, flips counted where they happen, and whether they were for the better."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_flows.evaluation import replay as module
from towpath_flows.evaluation.comparison import Duel
from towpath_flows.evaluation.replay import MISSING, OTHERS, replay, sample, segments_of, wilson
from towpath_gitops.records.figures import Replay
from towpath_gitops.records.signature import Signature

NOTHING: tuple[None, None] = (None, None)


def _signature(**columns: str) -> Signature:
    inputs = [{"name": name, "type": kind, "nullable": True} for name, kind in columns.items()]
    return Signature.model_validate({"task": "binary", "target": "t", "classes": ["n", "y"], "inputs": inputs})


def _replay(duel: Duel, **columns: Any) -> Replay:  # noqa: ANN401 (columns of rows)
    frame = pd.DataFrame({"row": np.arange(duel.rows)})
    found = replay(duel, frame, {name: np.array(values, dtype=object) for name, values in columns.items()}, NOTHING)
    assert found is not None
    return found


def _binary(y: list[int], champion: list[float], challenger: list[float]) -> Duel:
    return Duel("binary", np.array(y), np.array(champion)[:, None], np.array(challenger)[:, None])


def test_flips_are_counted_with_what_became_of_them() -> None:
    """Two of four decisions change: one becomes right, one wrong."""
    found = _replay(_binary([1, 0, 1, 0], [0.4, 0.6, 0.9, 0.1], [0.6, 0.7, 0.2, 0.2]))
    assert (found.rows, found.flips, found.corrected, found.spoiled) == (4, 2, 1, 1)
    assert found.tolerance is None


def test_from_one_wrong_class_to_another_is_neither_better_nor_worse() -> None:
    """Three classes: the decision flips, and stays wrong."""
    before, after = np.array([[0.8, 0.1, 0.1]]), np.array([[0.1, 0.8, 0.1]])
    found = _replay(Duel("multiclass", np.array([2]), before, after))
    assert (found.flips, found.corrected, found.spoiled) == (1, 0, 0)


def test_for_regression_a_flip_is_an_answer_that_moves_by_more_than_the_tolerance() -> None:
    """A tenth of the standard deviation of the truth; nearer to the truth is better."""
    y = np.array([0.0, 10.0, 20.0, 30.0])
    champion = y + np.array([0.0, 5.0, 0.0, 0.5])
    challenger = y + np.array([0.0, 1.0, -9.0, 0.6])
    found = _replay(Duel("regression", y, champion[:, None], challenger[:, None]))
    assert found.tolerance == pytest.approx(0.1 * np.std(y))
    assert (found.flips, found.corrected, found.spoiled) == (2, 1, 1)


def test_the_worst_segment_is_the_one_that_luck_explains_least() -> None:
    """A single row that flips does not outdo thirty of forty; every segment has its interval."""
    champion = [0.1] * 141
    challenger = [0.9] * 30 + [0.1] * 110 + [0.9]
    places = ["south"] * 40 + ["north"] * 100 + ["alone"]
    found = _replay(_binary([0] * 141, champion, challenger), place=places)
    assert found.worst is not None
    assert (found.worst.column, found.worst.value, found.worst.flips, found.worst.rows) == ("place", "south", 30, 40)
    assert {segment.value: segment.share for segment in found.segments} == {"alone": 1.0, "north": 0.0, "south": 0.75}


def test_rows_that_one_cannot_answer_are_left_out_and_counted() -> None:
    """The sample holds what both answered."""
    found = _replay(_binary([1, 0, 1], [0.4, np.nan, 0.9], [0.6, 0.7, 0.9]))
    assert (found.rows, found.unanswered, found.flips) == (2, 1, 1)
    nobody = _binary([1], [np.nan], [0.5])
    assert replay(nobody, pd.DataFrame({"row": [0]}), {}, NOTHING) is None


def test_the_sample_is_the_same_rows_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, bounded, and known by the digest of what they hold."""
    monkeypatch.setattr(module, "ROWS", 50)
    duel = _binary([0, 1] * 100, [0.4] * 200, [0.6] * 200)
    chosen = sample(duel)
    assert len(chosen) == 50
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, sample(duel))
    assert _replay(duel).digest == _replay(duel).digest
    other = replay(duel, pd.DataFrame({"row": np.arange(200) + 1}), {}, NOTHING)
    assert other is not None
    assert other.digest != _replay(duel).digest


def test_segments_are_what_a_person_can_read() -> None:
    """Truths and texts by value, the rare ones together; numbers by quarters; names of single rows not at all."""
    rows = 400
    frame = pd.DataFrame(
        {
            "express": [True, False] * 200,
            "seller": [f"s{min(number, 30)}" for number in range(rows)],
            "amount": np.arange(rows, dtype=float),
            "items": np.arange(rows) % 3,
            "note": [f"note {number}" for number in range(rows)],
            "coupon": [None, "VIP"] * 200,
        }
    )
    frame.loc[0, "amount"] = np.nan
    kinds = {"express": "boolean", "seller": "string", "amount": "number", "items": "integer", "note": "string"}
    found = segments_of(_signature(**kinds, coupon="string"), frame, {"country": np.array(["DE"] * rows, dtype=object)})
    assert list(found) == ["country", "express", "seller", "amount", "items", "coupon"]
    assert set(found["express"]) == {"True", "False"}
    assert {OTHERS, "s30"} < set(found["seller"])
    assert len(set(found["seller"])) == module.MOST_VALUES
    assert set(found["amount"]) == {"≤ 100.5", "100.5 to 200", "200 to 299.5", "> 299.5", MISSING}
    assert set(found["items"]) == {"0", "1", "2"}
    assert set(found["coupon"]) == {MISSING, "VIP"}


def test_segments_are_bounded_and_hostile_names_become_lines() -> None:
    """No more than a hundred, whole columns only; line breaks and empty values are made readable."""
    duel = _binary([0, 1] * 60, [0.4] * 120, [0.6] * 120)
    many = {f"column {number}": [f"v{row % 30}" for row in range(120)] for number in range(5)}
    found = _replay(duel, **{"a\nb": ["", "x\ny"] * 60}, **many)
    assert len(found.segments) == 2 + 3 * 30
    assert {(each.column, each.value) for each in found.segments[:2]} == {("a b", "(empty)"), ("a b", "x y")}


@given(st.integers(1, 10_000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_the_interval_of_a_share_holds_the_share(case: tuple[int, int]) -> None:
    """Within 0 and 1, and never of no width."""
    hits, rows = case
    low, high = wilson(hits, rows)
    assert 0 <= low <= hits / rows + 1e-12
    assert hits / rows - 1e-12 <= high <= 1
    assert low < high
