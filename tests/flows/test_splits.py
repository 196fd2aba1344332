"""Parts share nothing, keep the order of time, and refuse to be too small."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_flows.data.splits import _cut, folds, split
from towpath_flows.data.target import Target, label
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError

New = Callable[..., Project]


def changed(project: Project, **values: object) -> Project:
    """Return the project with other values in its spec."""
    return Project(project.root, project.spec.model_copy(update=values))


def test_time_orders_the_parts(shop: Project, orders: pd.DataFrame) -> None:
    """Train ends before validation begins, and validation before test; shares are kept."""
    parts = split(shop, orders.sample(frac=1, random_state=1))
    assert parts.train["ordered_at"].max() < parts.validation["ordered_at"].min()
    assert parts.validation["ordered_at"].max() < parts.test["ordered_at"].min()
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (900, 300, 300)


def test_train_and_validation_together_are_one_view_and_follow_a_copy(shop: Project, orders: pd.DataFrame) -> None:
    """All that tuning may see takes no memory of its own, and is never that of other rows."""
    parts = split(shop, orders)
    both = parts.development
    pd.testing.assert_frame_equal(both, pd.concat([parts.train, parts.validation], ignore_index=True))
    assert both is parts.development
    fewer = replace(parts, train=parts.train.iloc[:100])
    assert len(fewer.development) == 100 + len(parts.validation)


def test_rows_of_one_moment_stay_together(shop: Project, orders: pd.DataFrame) -> None:
    """A boundary never lies inside a day when time is told by days."""
    parts = split(shop, orders.assign(ordered_at=orders["ordered_at"].dt.floor("7D")))
    assert not set(parts.train["ordered_at"]) & set(parts.validation["ordered_at"])
    assert not set(parts.validation["ordered_at"]) & set(parts.test["ordered_at"])


@settings(max_examples=50)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(2, 5))
def test_cuts_never_part_a_moment(values: list[int], number: int) -> None:
    """However moments repeat, every row is in one part and no moment in two."""
    moments = pd.Series(pd.to_datetime(sorted(values), unit="h", utc=True))
    blocks = _cut(moments, (1,) * number)
    assert np.concatenate(blocks).tolist() == list(range(len(values)))
    seen = [set(moments.iloc[block]) for block in blocks]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_at_random_classes_keep_their_shares(shop: Project, orders: pd.DataFrame) -> None:
    """Without a time column parts are stratified, disjoint, and the same for the same seed."""
    project = changed(shop, time=None)
    parts, again = split(project, orders), split(project, orders)
    shares = [part["returned"].mean() for part in (parts.train, parts.validation, parts.test)]
    assert max(shares) - min(shares) < 0.01
    ids = [set(part["order_id"]) for part in (parts.train, parts.validation, parts.test)]
    assert len(set.union(*ids)) == sum(map(len, ids)) == len(orders)
    assert parts.test.equals(again.test)


def test_rows_without_a_target_are_left_out(shop: Project, orders: pd.DataFrame) -> None:
    """A row whose outcome is not known is in no part."""
    unknown = orders.astype({"returned": object})
    unknown.loc[:99, "returned"] = None
    parts = split(shop, unknown)
    assert len(parts.train) + len(parts.validation) + len(parts.test) == len(orders) - 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"returned": True}, "is true in all 1,500 rows"),
        ({"returned": None}, "No row has a value"),
        ({"ordered_at": pd.Timestamp("2026-01-01", tz="UTC")}, "part has 0 rows"),
    ],
)
def test_what_cannot_be_split_is_refused(
    shop: Project, orders: pd.DataFrame, change: dict[str, object], words: str
) -> None:
    """One class, no target or one moment: the reader is told which."""
    with pytest.raises(DataContractError, match=words):
        split(shop, orders.assign(**change))


def test_a_part_with_one_class_is_refused(shop: Project, orders: pd.DataFrame) -> None:
    """A class that does not occur late is missed in the first part without it."""
    with pytest.raises(DataContractError, match="validation part lacks a class of returned"):
        split(shop, orders.assign(returned=(orders.index < 600) & orders["returned"]))


def test_a_rare_class_is_learned_though_nobody_can_judge_it(shop: Project, orders: pd.DataFrame) -> None:
    """Of three or more classes a single row goes to train; in no fold is it judged by a model that never saw it."""
    rare = orders.assign(country=orders["country"].where(orders.index != 700, "LU"))
    project = changed(shop, time=None, target="country", task="multiclass")
    parts = split(project, rare)
    assert "LU" in set(parts.train["country"])
    pairs = folds(project, parts.development, parts.target)
    assert pairs
    for fitted, judged in pairs:
        assert "LU" in set(parts.development["country"].iloc[fitted])
        assert "LU" not in set(parts.development["country"].iloc[judged])


def test_a_class_that_is_new_in_time_is_refused(shop: Project, orders: pd.DataFrame) -> None:
    """What occurs only after the rows to train on cannot be learned from them; the class is named."""
    late = orders.assign(country=orders["country"].where(orders.index < 1300, "LU"))
    with pytest.raises(DataContractError, match=r"train part lacks a class of country.*\nLU must occur there"):
        split(changed(shop, target="country", task="multiclass"), late)


def test_too_few_rows_are_refused(shop: Project, orders: pd.DataFrame) -> None:
    """Forty rows cannot be split in three."""
    with pytest.raises(DataContractError, match="it needs 20"):
        split(shop, orders.iloc[:40])


def test_folds_look_forward_only(shop: Project, orders: pd.DataFrame) -> None:
    """Each fold judges rows that are later than all it was fitted on; the windows grow."""
    pairs = folds(shop, orders, Target.of(shop.spec, orders))
    assert len(pairs) == 2
    for fitted, judged in pairs:
        assert orders["ordered_at"].iloc[fitted].max() < orders["ordered_at"].iloc[judged].min()
    assert set(pairs[0][0]) < set(pairs[1][0])


def test_random_folds_share_no_rows(shop: Project, orders: pd.DataFrame) -> None:
    """Without time, what is judged is never what was fitted."""
    project = changed(shop, time=None)
    for fitted, judged in folds(project, orders, Target.of(project.spec, orders)):
        assert not set(fitted) & set(judged)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (np.bool_(False), "false"), (3.0, "3"), (2, "2"), ("late", "late"), (2.5, "2.5")],
)
def test_labels_read_as_callers_see_them(value: object, text: str) -> None:
    """A class has one spelling, whatever type the column has."""
    assert label(value) == text


def test_the_positive_class_is_the_second(shop: Project, orders: pd.DataFrame) -> None:
    """`positive` says whose probability is answered; a value that never occurs is refused."""
    assert Target.of(shop.spec, orders).classes == ("false", "true")
    assert Target.of(changed(shop, positive=False).spec, orders).classes == ("true", "false")
    with pytest.raises(DataContractError, match="never perhaps"):
        Target.of(changed(shop, positive="perhaps").spec, orders)


def test_a_target_of_another_task_is_refused(shop: Project, orders: pd.DataFrame) -> None:
    """Binary has two values; an unknown class is named when it is met."""
    with pytest.raises(DataContractError, match="has 8 different values"):
        Target.of(changed(shop, target="items").spec, orders)
    with pytest.raises(DataContractError, match="not finite numbers"):
        Target.of(changed(shop, target="country", task="regression").spec, orders)
    with pytest.raises(DataContractError, match="rows have a country that the model does not know"):
        Target("country", "multiclass", ("DE", "FR")).encode(orders["country"])
    with pytest.raises(DataContractError, match="task: binary"):
        Target.of(changed(shop, task="multiclass").spec, orders)
    assert len(Target.of(changed(shop, target="items", task="multiclass").spec, orders).classes or ()) == 8
