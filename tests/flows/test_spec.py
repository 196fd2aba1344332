"""model.yaml is read strictly, and says what is wrong with it."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from towpath_flows.project import Project
from towpath_flows.spec import (
    CheckGate,
    ComparisonGate,
    MetricGate,
    ModelSpec,
    SliceGate,
    load_spec,
)
from towpath_flows.units import Frequency, Moment, Rate, Share
from towpath_gitops.errors import InvalidFileError, NotFoundError

MINIMAL = "name: m\ntarget: y\ndata: {train: {file: a.csv}}\nschema: m.schema:Rows\n"


def spec_of(root: Path, more: str = "", text: str = MINIMAL) -> ModelSpec:
    """Return the spec that `text` and `more` describe."""
    (root / "model.yaml").write_text(text + more)
    return load_spec(root)


def test_four_lines_are_enough(tmp_path: Path) -> None:
    """Everything but name, target, data and schema has a default."""
    spec = spec_of(tmp_path)
    assert spec.task == "binary"
    assert spec.split.test == 0.2
    assert spec.serve.p99 == timedelta(milliseconds=50)
    assert spec.monitor.drift.false_alarms.per_day == pytest.approx(1 / 30)


def test_each_gate_is_known_by_its_keys(tmp_path: Path) -> None:
    """The keys of a gate say of which kind it is."""
    gates = """gates:
  - {metric: roc_auc, min: 0.6}
  - {metric: roc_auc, against: champion, margin: 0.01}
  - {metric: roc_auc, slice: country, gap: 0.1}
  - {check: behaviour}
"""
    found = spec_of(tmp_path, gates).gates
    assert [type(gate) for gate in found] == [MetricGate, ComparisonGate, SliceGate, CheckGate]
    assert [str(gate) for gate in found] == [
        "roc_auc ≥ 0.6",
        "roc_auc ≥ champion - 0.01",
        "roc_auc by country within 0.1",
        "check behaviour",
    ]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("tune: {trails: 3}", "did you mean “trials”"),
        ("gates: [{metric: roc_auc, mni: 0.6}]", "did you mean “min”"),
        ("gates: [{metric: roc_auc, min: 0.6, max: 0.7}]", "either min or max"),
        ("gates: [{metric: roc_auc}]", "either min or max"),
        ("gates: [{metric: rmse, max: 1}]", "does not measure a binary task"),
        ("gates: [{metric: auc, min: 1}]", "roc_auc"),
        ("split: {validation: 0.5, test: 0.5}", "nothing is left to train on"),
        ("split: {validation: 0, test: 0.5}", "greater than 0"),
        ("serve: {p99: fast}", "a number and a unit"),
        ("serve: {rate: -3}", "greater than 0"),
        ("serve: {errors: 120%}", "less than or equal to 1"),
        ("monitor: {drift: {false_alarms: often}}", "1 per 30d"),
        ("time: y", "must be different columns"),
        ("exclude: [y]", "remove it from exclude"),
        ("train: {frameworks: [xgboost, xgboost]}", "must differ"),
        ("train: {frameworks: [catboost]}", "xgboost"),
        ("features: ../evil", "pattern"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, words: str) -> None:
    """Every wrong value is refused with the file and the expectation."""
    with pytest.raises(InvalidFileError, match=r"model\.yaml") as caught:
        spec_of(tmp_path, more)
    assert words in str(caught.value)


def test_a_window_is_ordered_and_needs_a_time(tmp_path: Path) -> None:
    """A window that ends before it begins, or without a time column, is refused."""
    backwards = MINIMAL.replace("a.csv}", "a.csv}, window: {from: 2026-02-01, until: 2026-01-01}")
    with pytest.raises(InvalidFileError, match="before it begins"):
        spec_of(tmp_path, "time: t", backwards)
    forwards = MINIMAL.replace("a.csv}", "a.csv}, window: {from: 2026-01-01}")
    with pytest.raises(InvalidFileError, match=r"data\.window needs `time`"):
        spec_of(tmp_path, "", forwards)
    window = spec_of(tmp_path, "time: t", forwards).data.window
    assert window is not None
    assert window.bounds == (datetime(2026, 1, 1, tzinfo=UTC), None)


def test_a_folder_without_a_spec_is_named(tmp_path: Path) -> None:
    """Without model.yaml the reader is told where it was looked for."""
    with pytest.raises(NotFoundError, match=r"no model\.yaml"):
        load_spec(tmp_path)


def test_a_spec_survives_its_own_plain_form(tmp_path: Path) -> None:
    """What a spec writes out reads back as the same spec, and has a JSON schema for editors."""
    spec = spec_of(tmp_path, "gates: [{metric: roc_auc, min: 0.6}, {check: behaviour}]")
    assert ModelSpec.model_validate(spec.plain()) == spec
    assert "schema" in ModelSpec.model_json_schema()["properties"]


@given(st.floats(0, 1, allow_nan=False))
def test_a_share_means_the_same_as_percentage_and_fraction(value: float) -> None:
    """`12.5%` and 0.125 are one value."""
    share = TypeAdapter(Share)
    assert share.validate_python(f"{value * 100:.6f}%") == pytest.approx(share.validate_python(value), abs=1e-8)


@pytest.mark.parametrize(("text", "per_second"), [("200/s", 200), ("600/m", 10), ("7200/h", 2), (5, 5)])
def test_a_rate_is_per_second(text: object, per_second: float) -> None:
    """Rates per minute and hour become rates per second."""
    assert TypeAdapter(Rate).validate_python(text) == per_second


@pytest.mark.parametrize("value", ["yesterday", 3, None, True])
def test_a_moment_is_iso(value: object) -> None:
    """What is no ISO 8601 is refused."""
    with pytest.raises(ValidationError, match="ISO 8601"):
        TypeAdapter(Moment).validate_python(value)


def test_a_moment_without_zone_is_utc() -> None:
    """Days and moments without a zone are in UTC; others are converted to it."""
    moment = TypeAdapter(Moment)
    assert moment.validate_python("2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC)
    assert moment.validate_python("2026-01-01T02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["1 per 0s", "x per 1d", "1 each day", 4])
def test_a_frequency_is_a_number_per_duration(value: object) -> None:
    """What is no frequency is refused."""
    with pytest.raises(ValidationError, match=r"1 per 30d|a number and a unit"):
        TypeAdapter(Frequency).validate_python(value)


def test_two_projects_may_have_packages_of_the_same_name(
    new_project: Callable[..., Project], tmp_path: Path, shop: Project
) -> None:
    """Each project gets its own code, whichever was opened first."""
    assert "items" in shop.schema.columns
    other = new_project(schema=("    express: bool\n", "    express: bool\n    weight: float\n"))
    assert "weight" in other.schema.columns
    assert sys.modules["shop.schema"].__file__ == str(tmp_path / "src" / "shop" / "schema.py")


@pytest.mark.parametrize(
    ("replace", "words"),
    [
        (("shop.schema:Orders", "shop.shema:Orders"), "No module named 'shop.shema'"),
        (("shop.schema:Orders", "shop.schema:Order"), "no attribute 'Order'"),
        (("shop.schema:Orders", "shop.schema:pd"), "no pandera schema"),
        (("target: returned", "target: return"), "the schema has no column return"),
        (("exclude: [refund_days]", "exclude: [refund_day]"), "the schema has no column refund_day"),
        (("min: 0.6}", "slice: city, gap: 0.1}"), "gates: the schema has no column city"),
    ],
)
def test_what_cannot_be_imported_is_named(
    new_project: Callable[..., Project], replace: tuple[str, str], words: str
) -> None:
    """A wrong reference to the owner's code says which and why."""
    project = new_project(spec=replace)
    with pytest.raises(InvalidFileError, match=words):
        _ = project.schema


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ('pa.Field(alias="")', "has a column called ''"),
        (f'pa.Field(alias="{"a" * 201}")', "has a column called 'aaa"),
        (r'pa.Field(alias="a\nb")', r"has a column called 'a\\nb'"),
        ("pa.Field(alias='a \"b\"')", "which the service cannot read in requests"),
        (r'pa.Field(alias="a\\b")', "which the service cannot read in requests"),
        ('pa.Field(alias="am.*", regex=True)', r"by a pattern, am\.\*"),
    ],
)
def test_columns_are_called_by_names(new_project: Callable[..., Project], field: str, words: str) -> None:
    """A column that callers could not name is refused before anything is read."""
    project = new_project(schema=("amount: float = pa.Field(nullable=True, ge=0)", f"amount: float = {field}"))
    with pytest.raises(InvalidFileError, match=words):
        _ = project.schema


def test_the_owners_transformer_is_asked_for_anew(new_project: Callable[..., Project]) -> None:
    """Each fit gets an unfitted transformer; what is none is refused."""
    project = new_project(spec=("split:", "features: shop.features:build\nsplit:"))
    code = project.root / "src" / "shop" / "features.py"
    code.write_text("from sklearn.preprocessing import StandardScaler\n\n\ndef build():\n    return StandardScaler()\n")
    assert project.features() is not project.features()
    del sys.modules["shop.features"]
    code.write_text("def build():\n    return 3\n")
    code.touch()
    with pytest.raises(InvalidFileError, match="returned int"):
        project.features()
