"""The owner's schema holds; what breaks it is reported in full."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import type_for_alias

from towpath_flows.data.coercion import coerce, kind_of, replaced
from towpath_flows.data.contract import ContractReport, examine, validate
from towpath_flows.data.sources import Table, load
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, InvalidFileError
from towpath_gitops.records.evidence import Verdict

New = Callable[..., Project]


def table(frame: pd.DataFrame) -> Table:
    """Wrap a frame as if it had been read."""
    return Table(frame, "sha256:" + "0" * 64, "orders", (None, None))


def test_good_rows_pass_and_say_how_many(project: Project) -> None:
    """A table that fits comes back in the schema's order and types, with one passing finding."""
    validated = validate(project, load(project))
    assert list(validated.frame.columns) == list(project.schema.columns)
    assert [finding.verdict for finding in validated.report.findings] == [Verdict.PASS]
    assert "1,500 rows" in validated.report.markdown


def test_every_broken_rule_is_in_one_report(project: Project, orders: pd.DataFrame) -> None:
    """A missing column, a wrong type, a foreign category, a gap and a limit are all told at once."""
    broken = orders.rename(columns={"seller": "sellers"}).astype({"items": object, "country": object})
    broken.loc[2, "items"] = "many"
    broken.loc[3, "country"] = "XX"
    broken.loc[4, "country"] = None
    broken.loc[5, "amount"] = -1.0
    with pytest.raises(DataContractError, match="breaks 5 rules") as caught:
        validate(project, table(broken))
    text = str(caught.value)
    assert "seller: is a column of the data fails 1500 times: there is sellers" in text
    assert "items: is a whole number fails 1 times: row 2 ('many')" in text
    assert "country: is one of 'DE', 'FR', 'IT' fails 1 times: row 3 ('XX')" in text
    assert "country: is not missing fails 1 times: row 4 (missing)" in text
    assert "amount: ≥ 0 fails 1 times: row 5 (-1.0)" in text


def test_the_report_is_a_table_and_findings(project: Project, orders: pd.DataFrame) -> None:
    """The same problems can be read as Markdown and as failing findings."""
    report = examine(project, table(orders.assign(items=0))).report
    assert isinstance(report, ContractReport)
    assert "| items | ≥ 1 | 1,500 | row 0 (0), row 1 (0), row 2 (0) |" in report.markdown
    assert [finding.verdict for finding in report.findings] == [Verdict.FAIL]


def test_duplicates_of_a_unique_column_are_counted(project: Project, orders: pd.DataFrame) -> None:
    """A value that must occur once and occurs twice is reported."""
    report = examine(
        project, table(orders.assign(order_id=orders["order_id"].where(orders.index > 0, "o000001")))
    ).report
    assert [(problem.column, problem.rule) for problem in report.problems] == [("order_id", "occurs once")]


def test_a_rule_over_whole_rows_names_the_rows(new_project: New) -> None:
    """A check of the whole table says which rows break it, though no column is to blame."""
    rule = """
    @pa.dataframe_check
    def gifts_are_small(cls, frame: pd.DataFrame) -> pd.Series:
        return frame["items"] < 8
"""
    project = new_project(schema=("    returned: bool\n", "    returned: bool\n" + rule))
    loaded = load(project)
    (problem,) = examine(project, loaded).report.problems
    first = int(np.flatnonzero(loaded.frame["items"] >= 8)[0])
    assert problem.count == int((loaded.frame["items"] >= 8).sum())
    assert f"the table: gifts_are_small fails {problem.count} times: row {first}, row" in str(problem)


def test_a_strict_schema_names_what_it_does_not_know(new_project: New, orders: pd.DataFrame) -> None:
    """A column that a strict schema does not have is told by its name."""
    strict = "    returned: bool\n\n    class Config:\n        strict = True\n"
    project = new_project(schema=("    returned: bool\n", strict))
    (problem,) = examine(project, table(orders.assign(colour="red"))).report.problems
    assert str(problem) == "the table: has no columns but the schema's fails 1 times: 'colour'"


@pytest.mark.parametrize("marked", ["schema", "spec"])
def test_no_value_of_a_sensitive_column_is_shown(new_project: New, orders: pd.DataFrame, marked: str) -> None:
    """Rules, counts and rows are told; values are not, in whatever shape the report is read."""
    rule = """
    @pa.check("seller")
    def is_known(cls, seller: pd.Series) -> pd.Series:
        raise ValueError(f"who is {seller[0]}?")

    @pa.dataframe_check
    def is_ours(cls, frame: pd.DataFrame) -> pd.Series:
        raise ValueError(f"no {frame['seller'][0]} here")
"""
    marks = {
        "schema": {"schema": ("    seller: str\n", '    seller: str = pa.Field(metadata={"sensitive": True})\n')},
        "spec": {"spec": ("orders.parquet}\n", "orders.parquet}\n  sensitive: [seller, coupon]\n")},
    }
    project = new_project(**marks[marked])
    path = project.root / "src" / "shop" / "schema.py"
    path.write_text(path.read_text() + rule)
    broken = orders.assign(seller="Mata Hari", coupon=7.25, items=orders["items"].where(orders.index > 0, 99))
    report = examine(project, table(broken)).report
    shown = [report.text, report.markdown, *(finding.message for finding in report.findings)]
    assert "is_known fails" in report.text
    assert "is_ours fails" in report.text
    assert "row 0 (99)" in report.text
    assert not any("Hari" in text for text in shown)
    assert ("7.25" in report.text) is (marked == "schema")
    assert "coupon: is text fails 1500 times: row 0" in report.text


def test_a_sensitive_column_must_exist(new_project: New) -> None:
    """A misspelt name would leave the column unprotected: it is refused."""
    with pytest.raises(InvalidFileError, match=r"data\.sensitive: the schema has no column selller"):
        _ = new_project(spec=("orders.parquet}\n", "orders.parquet}\n  sensitive: [selller]\n")).schema


def test_words_in_the_report_stay_words(project: Project, orders: pd.DataFrame) -> None:
    """Values of the data mark nothing up in the report's table."""
    hostile = orders.assign(country="<b>|[x](http://e.vil)|")
    assert "<b>" not in examine(project, table(hostile)).report.markdown
    assert "(http://e" not in examine(project, table(hostile)).report.markdown


def test_lists_are_no_text_and_are_shown(project: Project, orders: pd.DataFrame) -> None:
    """A value that is no single one is told like every other wrong one."""
    lists = orders.assign(coupon=[np.array([1, 2])] * len(orders))
    (problem,) = examine(project, table(lists)).report.problems
    assert str(problem).startswith("coupon: is text fails 1500 times: row 0 ([1 2])")


def test_a_column_may_be_called_self(new_project: New, orders: pd.DataFrame) -> None:
    """No name of a column is taken by pandas."""
    project = new_project(schema=("items: int", "self: int"))
    assert validate(project, table(orders.rename(columns={"items": "self"}))).frame["self"].equals(orders["items"])


def test_a_schema_that_filters_is_not_asked_about_other_columns(new_project: New, orders: pd.DataFrame) -> None:
    """Columns beside the schema's are left out before its rules are asked, and nothing is wrong with them."""
    strict = '    returned: bool\n\n    class Config:\n        strict = "filter"\n'
    project = new_project(schema=("    returned: bool\n", strict))
    rows = Table(orders.assign(colour="red"), "", "orders", (None, None))
    assert "colour" not in examine(project, rows).frame


def test_checked_columns_share_the_memory_of_the_rows(project: Project) -> None:
    """What was read in the schema's types is not held a second time."""
    table = load(project)
    frame = validate(project, table).frame
    assert all(np.shares_memory(frame[name], table.frame[name]) for name in ("amount", "items", "express"))


def test_a_wide_table_stays_in_one_piece() -> None:
    """Two hundred columns become others without a word of warning, in their own order."""
    frame = pd.DataFrame(np.zeros((3, 200)), columns=[f"c{place}" for place in range(200)])
    changed = replaced(frame, {name: frame[name].astype("float32") for name in frame} | {"new": 1})
    changed["more"] = 2
    assert list(changed) == [*frame, "new", "more"]


@pytest.mark.parametrize(
    ("kind", "dtype"), [("string", "string"), ("number", "double"), ("integer", "int32"), ("boolean", "bool")]
)
def test_types_of_arrow_are_types(kind: str, dtype: str) -> None:
    """A schema may declare its columns in Arrow's types."""
    schema = pa.DataFrameSchema({"a": pa.Column(pd.ArrowDtype(type_for_alias(dtype)))})
    assert kind_of(schema.columns["a"].dtype) == kind


def test_columns_that_the_schema_does_not_name_are_left_out(project: Project, orders: pd.DataFrame) -> None:
    """Extra columns are no error and do not reach the model."""
    assert "extra" not in validate(project, table(orders.assign(extra=1))).frame


def test_a_column_that_may_be_absent_comes_back_empty(new_project: New, orders: pd.DataFrame) -> None:
    """`Optional` columns of the schema are filled with missing values."""
    project = new_project(
        schema=("coupon: str = pa.Field(nullable=True)", "coupon: str | None = pa.Field(nullable=True)")
    )
    project.schema.columns["coupon"].required = False
    assert validate(project, table(orders.drop(columns="coupon"))).frame["coupon"].isna().all()


def test_a_column_full_of_missing_values_is_fine_where_allowed(project: Project, orders: pd.DataFrame) -> None:
    """Empty columns keep their type when the schema lets them be empty, and are refused when not."""
    frame = validate(project, table(orders.assign(amount=None, coupon=None))).frame
    assert frame["amount"].dtype == np.float64
    assert frame["coupon"].isna().all()
    with pytest.raises(DataContractError, match="items: is not missing fails 1500 times"):
        validate(project, table(orders.assign(items=None)))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("number", [1, "2.5", None, 3.5], ["x", float("inf"), "nan!"]),
        ("integer", [1, "2", None, 3.0], ["x", 2.5, float("inf")]),
        ("boolean", [True, 0, "true", "False", None], ["maybe", 2, "yes"]),
        ("string", ["a", None], [1, 2.5, True]),
        ("moment", ["2026-01-01", None], ["soon", "31.12.2026"]),
    ],
)
def test_what_would_lose_is_not_converted(kind: str, good: list[object], bad: list[object]) -> None:
    """Values are converted when nothing is lost and are named otherwise; missing is not lost."""
    assert not coerce(pd.Series(good, dtype=object), kind)[1].any()  # type: ignore[arg-type]  # one of the kinds
    for value in bad:
        assert coerce(pd.Series([*good, value], dtype=object), kind)[1].tolist() == [False] * len(good) + [True]  # type: ignore[arg-type]  # as above


def test_false_in_words_is_false() -> None:
    """The text "False" does not become True, as astype(bool) would have it."""
    assert coerce(pd.Series(["False", "true"]), "boolean")[0].tolist() == [False, True]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53)), min_size=1, max_size=20))
def test_integers_survive(values: list[int | None]) -> None:
    """Whole numbers keep their value and their gaps, whether they came as numbers or as text."""
    texts = pd.Series([None if value is None else str(value) for value in values], dtype=object)
    converted, bad = coerce(texts, "integer")
    assert not bad.any()
    assert [None if pd.isna(value) else int(value) for value in converted] == values


def test_moments_without_zone_suit_a_schema_without_zone(new_project: New) -> None:
    """A schema that declares naive moments is served naive ones, and the result is in UTC all the same."""
    project = new_project(
        schema=('ordered_at: pd.DatetimeTZDtype = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})',
                'ordered_at: pd.Timestamp = pa.Field(ge="2025-01-01")')
    )  # fmt: skip
    assert str(validate(project, load(project)).frame["ordered_at"].dt.tz) == "UTC"
