"""Leaks, copies and columns that say nothing are found."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from towpath_flows.data.contract import ContractReport, Validated
from towpath_flows.data.quality import feature_names, inspect
from towpath_flows.data.rules import RULES
from towpath_flows.data.rules.leakage import _power, auc, strongest
from towpath_flows.data.splits import split
from towpath_flows.data_spec import QualitySpec
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.evidence import Finding, Verdict

New = Callable[..., Project]


def failing(findings: list[Finding]) -> list[str]:
    """Return the messages of findings that fail."""
    return [finding.message for finding in findings if finding.verdict is Verdict.FAIL]


def judged(project: Project, frame: pd.DataFrame) -> list[Finding]:
    """Return the findings about rows that fit the schema, without a release before."""
    validated = Validated(frame, ContractReport("a test", len(frame), ()))
    return list(inspect(project, validated, split(project, frame)).findings)


def changed(project: Project, **values: object) -> Project:
    """Return the project with other values in its spec."""
    return Project(project.root, project.spec.model_copy(update=values))


def test_honest_data_passes(shop: Project, orders: pd.DataFrame) -> None:
    """Columns that only help are no leak."""
    findings = judged(shop, orders)
    assert {finding.verdict for finding in findings} == {Verdict.PASS}
    assert "amount" in findings[0].message
    assert len(findings) == len(RULES) + 4


def test_a_column_that_knows_the_answer_is_named(shop: Project, orders: pd.DataFrame) -> None:
    """refund_days is known only for what was returned: its mere presence gives the target away."""
    (message,) = failing(judged(changed(shop, exclude=()), orders))
    assert message.startswith("refund_days alone predicts returned with 1.000")


def test_a_leak_may_be_text_or_not_monotonic(shop: Project, orders: pd.DataFrame) -> None:
    """A leak through text, or through the middle of a range, is found as well."""
    middle = np.where(orders["returned"], 50, np.where(orders.index % 2, 10, 90))
    leaky = orders.assign(coupon=np.where(orders["returned"], "refund", "sale"), items=middle)
    assert len(failing(judged(shop, leaky))) == 2


def test_an_owner_may_vouch_for_strong_columns_but_not_for_copies(shop: Project, orders: pd.DataFrame) -> None:
    """`leakage: null` lets a column predict alone as well as it can; a copy of the target fails all the same."""
    vouched = changed(shop, quality=QualitySpec.model_validate({"leakage": None}))
    leaky = orders.assign(coupon=np.where(orders["returned"], "refund", "sale"))
    assert failing(judged(vouched, leaky)) == []
    assert "copy of returned" in failing(judged(vouched, leaky.assign(express=orders["returned"])))[0]


def test_an_owner_may_vouch_for_one_column_alone(shop: Project, orders: pd.DataFrame) -> None:
    """What is named as known in time may predict as well as it can; the next column is judged as before."""
    vouched = changed(shop, quality=QualitySpec.model_validate({"leakage": {"known": ["coupon"]}}))
    leaky = orders.assign(coupon=np.where(orders["returned"], "refund", "sale"))
    assert failing(judged(vouched, leaky)) == []
    assert "copy of returned" in failing(judged(vouched, leaky.assign(express=orders["returned"])))[0]
    middle = np.where(orders["returned"], 50, np.where(orders.index % 2, 10, 90))
    assert "items" in failing(judged(vouched, leaky.assign(items=middle)))[0]


def test_names_of_single_rows_are_no_leak(shop: Project, orders: pd.DataFrame) -> None:
    """A column that differs in every row predicts nothing about new rows."""
    unique = orders.assign(seller=orders["order_id"])
    assert not failing(judged(shop, unique))


def test_the_limit_is_the_owners(shop: Project, orders: pd.DataFrame) -> None:
    """A stricter limit refuses what the default lets through."""
    strict = changed(shop, quality=QualitySpec.model_validate({"leakage": 0.55}))
    assert failing(judged(strict, orders))


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_have_leaks_too(shop: Project, orders: pd.DataFrame, task: str) -> None:
    """The number of items as a copy gives the number of items away."""
    project = changed(shop, target="items", task=task)
    leaky = orders.assign(amount=orders["items"] * 2.0)
    assert [message.split()[0] for message in failing(judged(project, leaky))] == ["amount"]


def test_a_row_or_two_of_a_class_convict_no_column() -> None:
    """By chance such an area is 1, and had no error: a column that knows one class of many beyond chance goes first."""
    values = pd.Series(np.arange(400.0))
    y = np.where(values < 200, 0, 1)
    y[[7, 250]] = 2
    one_in_the_middle = _power(values, y, values.iloc[[7, 20, 300]], np.array([2, 0, 1]), classes=3)
    assert strongest(one_in_the_middle, 0.5)[0] == 1
    assert all(area - 1.96 * error < 0.85 for area, error in one_in_the_middle)
    y_unseen = np.array([0] * 10 + [1] * 10 + [2])
    assert len(_power(values, y, pd.Series(np.arange(0.0, 420, 20)), y_unseen, classes=3)) == 2
    assert strongest([(1.0, 0.3), (0.9, 0.01)], 0.85) == (0.9, 0.01)


def test_copies_across_parts_are_found(shop: Project, orders: pd.DataFrame) -> None:
    """Rows that occur in train and in test make the test easier than life."""
    twice = pd.concat([orders, orders], ignore_index=True)
    timeless = changed(shop, time=None, exclude=("ordered_at", "refund_days"))
    messages = failing(judged(timeless, twice))
    assert any("of the test rows equal a training row" in message for message in messages)
    assert any("of the rows equal an earlier row" in message for message in messages)
    assert any("repeat order_id of an earlier row" in message for message in messages)


def test_empty_constant_and_huge_columns_are_told(shop: Project, orders: pd.DataFrame) -> None:
    """Columns without information and numbers that float32 rounds are mentioned, and pass."""
    odd = orders.assign(amount=np.nan, express=True, items=orders["items"] + 2**25)
    findings = {finding.gate: finding for finding in judged(shop, odd)}
    assert failing(list(findings.values())) == ["amount has a value in 0.0% of the rows"]
    assert findings["empty columns"].message.startswith("amount ")
    assert findings["constant columns"].message.startswith("express ")
    assert findings["exact numbers"].message.startswith("items ")


def test_whole_numbers_that_are_all_missing_are_empty(shop: Project, orders: pd.DataFrame) -> None:
    """A nullable column without any value is told as empty, and stops nothing."""
    empty = {"amount": pd.array([None] * len(orders), dtype="Int64"), "coupon": "x" * 2000}
    findings = {finding.gate: finding.message for finding in judged(shop, orders.assign(**empty))}
    assert findings["empty columns"].startswith("amount ")
    assert findings["exact numbers"] == "There are none"
    assert findings["short texts"].startswith("coupon ")


def test_a_schema_without_features_is_refused(shop: Project) -> None:
    """Excluding everything leaves nothing to learn from."""
    everything = tuple(set(shop.schema.columns) - {"returned", "ordered_at", "order_id"})
    with pytest.raises(DataContractError, match="No column is left"):
        feature_names(changed(shop, exclude=everything))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_area_under_the_curve(rows: list[tuple[int, bool]]) -> None:
    """The rank formula equals scikit-learn's area, ties included."""
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    positive = np.array([truth for _, truth in rows])
    if positive.all() or not positive.any():
        assert auc(scores, positive) == 0.5
    else:
        assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
