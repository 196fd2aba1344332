"""Each rule of `quality` passes, fails, or says what would settle it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_flows.data.past import Past, last_release
from towpath_flows.data.quality import feature_names
from towpath_flows.data.rules import RULES, Facts, Measure
from towpath_flows.data.rules.base import weighed
from towpath_flows.data.splits import split
from towpath_flows.data_spec import QualitySpec
from towpath_flows.project import Project
from towpath_gitops import layout
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.release import Release

RELEASE = Release(
    model="returns", version=1, semver="1.0.0", artifact="sha256:" + "a" * 64, input_schema="sha256:" + "b" * 64,
    data="sha256:" + "c" * 64, code="d" * 40,
)  # fmt: skip
Edit = Callable[[pd.DataFrame], pd.DataFrame]


def measured(
    rule: str,
    project: Project,
    frame: pd.DataFrame,
    *,
    past: pd.DataFrame | None = None,
    until: datetime | None = None,
    **quality: object,
) -> list[Measure]:
    """Return what a rule says of rows; `past` are the rows of the release before, `quality` the owner's limits."""
    spec = project.spec.model_copy(update={"quality": QualitySpec.model_validate(quality)})
    project = Project(project.root, spec)
    before = None if past is None else Past(RELEASE, len(past), past)
    now = datetime(2026, 3, 10, tzinfo=UTC)
    parts = split(project, frame)
    return RULES[rule].judge(Facts(project, frame, parts, feature_names(project), before, until, now))


def verdict(rule: str, project: Project, frame: pd.DataFrame, **others: object) -> Verdict:
    """Return the one verdict of a rule."""
    (measure,) = measured(rule, project, frame, **others)  # type: ignore[arg-type]  # handed on as they are
    return measure.verdict


@pytest.mark.parametrize(
    ("column", "verdict"),
    [
        (lambda amount: np.log(amount + 1), Verdict.FAIL),
        (lambda amount: -1.19 * amount, Verdict.FAIL),
        (lambda amount: amount + np.random.default_rng(0).normal(0, 40, len(amount)), Verdict.PASS),
        (lambda amount: (amount > 50).astype(float), Verdict.PASS),
    ],
)
def test_the_target_in_another_unit_is_a_copy(
    shop: Project, orders: pd.DataFrame, column: Callable[[Any], Any], verdict: Verdict
) -> None:
    """A logarithm, a tax on top: what rises or falls exactly with the answer knows it, on however few rows."""
    changed = {"task": "regression", "target": "amount", "exclude": ("refund_days", "returned"), "gates": ()}
    project = Project(shop.root, shop.spec.model_copy(update=changed))
    frame = orders[orders["amount"].notna()].head(300)
    (measure,) = measured("leakage", project, frame.assign(items=column(frame["amount"])), leakage=None)
    assert measure.verdict is verdict
    assert verdict is Verdict.PASS or "items rises or falls exactly with amount" in measure.message


@pytest.mark.parametrize("rule", RULES)
def test_the_same_rows_again_pass_every_rule(rule: str, shop: Project, orders: pd.DataFrame) -> None:
    """Nothing has changed since the last release, and nothing is wrong with the first."""
    assert verdict(rule, shop, orders, past=orders) is Verdict.PASS
    assert verdict(rule, shop, orders) is Verdict.PASS


@pytest.mark.parametrize(
    ("rule", "edit", "words"),
    [
        ("completeness", lambda rows: rows.assign(amount=rows["amount"].where(rows.index % 2 == 0)), "amount had"),
        ("range", lambda rows: rows.assign(items=rows["items"] * 100), "of items lie outside"),
        ("growth", lambda rows: rows.assign(country=rows["country"].str.lower()), "new values of country"),
        ("volume", lambda rows: rows.iloc[:600], "600 rows; the last release had 1,500"),
        (
            "drift",
            lambda rows: rows.assign(amount=rows["amount"] / 9, items=1, express=True, country="DE", seller="seller 1"),
            "5 of 6 features moved far",
        ),
    ],
)
def test_what_changed_since_the_last_release_fails(
    shop: Project, orders: pd.DataFrame, rule: str, edit: Edit, words: str
) -> None:
    """Silent columns, changed units, new words, short deliveries and broken feeds are told from the last release."""
    (measure,) = measured(rule, shop, edit(orders), past=orders)
    assert measure.verdict is Verdict.FAIL
    assert words in measure.message


@pytest.mark.parametrize(
    ("rule", "quality", "words"),
    [
        ("completeness", {"completeness": {"columns": {"amount": "95%"}}}, "amount has a value in"),
        ("range", {"range": {"columns": {"items": {"min": 1, "max": 4}}}}, "of items lie outside 1 to 4"),
        ("volume", {"volume": {"min": 2000}}, "1,500 rows have a target"),
        ("freshness", {"freshness": "5d"}, "5.5 days old"),
        ("uniqueness", {"uniqueness": {"columns": ["seller"]}}, "repeat seller"),
    ],
)
def test_the_owners_limits_need_no_release_before(
    shop: Project, orders: pd.DataFrame, rule: str, quality: dict[str, object], words: str
) -> None:
    """What model.yaml asks for is asked of the first release, too."""
    (measure,) = measured(rule, shop, orders, **quality)  # type: ignore[arg-type]  # limits of several shapes
    assert measure.verdict is Verdict.FAIL
    assert words in measure.message


def test_few_rows_leave_a_breach_open(shop: Project, orders: pd.DataFrame) -> None:
    """Three stray values of 120 may be chance at a limit of 1 %; the rule says how many rows would tell."""
    few = orders.iloc[:120].assign(items=lambda rows: rows["items"].where(rows.index > 2, 49))
    (measure,) = measured("range", shop, few, range={"columns": {"items": {"max": 10}}})
    assert measure.verdict is Verdict.INCONCLUSIVE
    assert measure.needed_rows is not None
    assert measure.needed_rows > 120


def test_a_suspect_that_few_rows_cannot_convict_is_held(shop: Project, orders: pd.DataFrame) -> None:
    """A column just over the leakage limit is inconclusive on few rows, with its interval."""
    few = orders.iloc[:150]
    (probe,) = measured("leakage", shop, few)
    assert probe.measured is not None
    (measure,) = [
        each for each in measured("leakage", shop, few, leakage=probe.measured - 0.01) if each.column == probe.column
    ]
    assert measure.verdict is Verdict.INCONCLUSIVE
    assert measure.needed_rows is not None


def test_a_copy_and_a_future_value_are_told_apart(shop: Project, orders: pd.DataFrame) -> None:
    """A copy of the target and the target of the next row are named as what they are, also per entity."""
    (copy,) = measured("leakage", shop, orders.assign(express=orders["returned"]))
    assert "express is a copy of returned" in copy.message
    (later,) = measured("leakage", shop, orders.assign(express=orders["returned"].shift(-1, fill_value=False)))
    assert "next row in time" in later.message
    customers = orders.assign(order_id=[f"c{row % 7}" for row in range(len(orders))])
    ahead = customers.groupby("order_id")["returned"].shift(-1).fillna(False).astype(bool)
    (own,) = measured("leakage", shop, customers.assign(express=ahead))
    assert "next row in time" in own.message


def test_the_past_is_no_leak(shop: Project, orders: pd.DataFrame) -> None:
    """The target of the row before is history, and may be learned from."""
    lagged = orders.assign(express=orders["returned"].shift(1, fill_value=False))
    assert verdict("leakage", shop, lagged) is Verdict.PASS


def test_rows_that_are_alike_by_chance_are_not_condemned(shop: Project, orders: pd.DataFrame) -> None:
    """Where no column tells rows apart, equal rows are inconclusive: they may be others."""
    spec = shop.spec.model_copy(update={"time": None, "entity": None})
    timeless = Project(shop.root, spec)
    plain = orders[["express", "country", "returned"]]
    alike = orders.assign(**{name: 1 for name in orders if name not in plain})
    for rule in ("duplicates", "overlap"):
        (measure,) = measured(rule, timeless, alike)
        assert measure.verdict is Verdict.INCONCLUSIVE
        assert "name an `entity`" in measure.message


def test_rare_values_are_expected_to_be_new(shop: Project, orders: pd.DataFrame) -> None:
    """A text that differs in nearly every row goes on to do so: that is no growth."""
    before = orders.assign(seller=[f"a{row}" for row in range(len(orders))])
    today = orders.assign(seller=[f"b{row}" for row in range(len(orders))])
    assert verdict("growth", shop, today, past=before) is Verdict.PASS


def test_names_that_are_missing_leave_it_open(shop: Project, orders: pd.DataFrame) -> None:
    """Rows without a name cannot show that they are one of a kind."""
    nameless = orders.assign(coupon=[None] * 300 + [f"k{row}" for row in range(1200)])
    assert verdict("uniqueness", shop, nameless, uniqueness={"columns": ["coupon"]}) is Verdict.INCONCLUSIVE


def test_freshness_counts_to_the_windows_end(shop: Project, orders: pd.DataFrame) -> None:
    """Rows of a window that is long past were fresh at its end; rows still to come are refused."""
    newest = orders["ordered_at"].max().to_pydatetime()
    assert verdict("freshness", shop, orders, until=newest + timedelta(hours=1), freshness="1d") is Verdict.PASS
    later = orders.assign(ordered_at=orders["ordered_at"] + timedelta(days=30))
    (measure,) = measured("freshness", shop, later, freshness="1d")
    assert measure.verdict is Verdict.FAIL
    assert "still to come" in measure.message
    timeless = Project(shop.root, shop.spec.model_copy(update={"time": None, "exclude": ("refund_days", "ordered_at")}))
    assert verdict("freshness", timeless, orders, freshness="1d") is Verdict.INCONCLUSIVE


def test_a_shift_that_few_rows_cannot_prove_is_held(shop: Project, orders: pd.DataFrame) -> None:
    """On a hundred rows nearly every index is large, and no test is sure: more rows would tell."""
    spec = {"psi": 0.02, "share": 0.3}
    (measure,) = measured("drift", shop, orders.iloc[:110], past=orders, drift=spec)
    assert measure.verdict is Verdict.INCONCLUSIVE
    assert measure.needed_rows is not None


def test_columns_that_are_new_or_of_another_type_are_not_compared(shop: Project, orders: pd.DataFrame) -> None:
    """A release with other inputs is no measure for these columns."""
    before = orders.drop(columns=["seller"]).assign(items="many")
    for rule in ("range", "growth", "completeness", "drift"):
        assert verdict(rule, shop, orders, past=before) is Verdict.PASS


def test_before_the_first_training_nothing_is_asked(project: Project) -> None:
    """Without a registry there is no release to compare with, and none is made by looking."""
    assert last_release(project) is None
    assert not layout.state(project.root, "mlflow.db").exists()


@given(
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.integers(1, 10_000),
)
def test_only_what_lies_beyond_the_limit_and_chance_fails(value: float, reach: float, limit: float, rows: int) -> None:
    """Within the limit passes; over it with the whole interval fails; between, more rows are asked for."""
    found, needed = weighed(value, (value - reach, value + reach), limit, rows)
    expected = Verdict.PASS if value <= limit else Verdict.FAIL if value - reach > limit else Verdict.INCONCLUSIVE
    assert found is expected
    assert (needed is not None) is (found is Verdict.INCONCLUSIVE)
    assert needed is None or needed >= rows
    assert np.isfinite(needed or 0)
