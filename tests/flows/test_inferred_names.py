"""What `towpath infer` calls things, and how it writes texts and limits: whatever the table holds."""

import keyword
import subprocess
import sys

import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from towpath_flows.inference.columns import Column, examine, outward
from towpath_flows.inference.naming import attributes, class_name, python_number, python_text, yaml_scalar

LETTERS = st.text(min_size=1, max_size=40).filter(str.isprintable)


@settings(max_examples=40)
@given(names=st.lists(LETTERS, min_size=1, max_size=12, unique=True))
def test_attributes_are_distinct_and_plain(names: list[str]) -> None:
    """Whatever columns are called, each has an attribute of its own that Python, pandera and ruff take."""
    found = attributes(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    for attribute in found.values():
        assert attribute.isidentifier()
        assert attribute.isascii()
        assert not keyword.iskeyword(attribute)
        assert not hasattr(pa.DataFrameModel, attribute)


@given(text=st.text(max_size=60))
def test_texts_survive_python(text: str) -> None:
    """A literal reads back as the text that it stands for."""
    assert eval(python_text(text)) == text  # noqa: S307 (the literal is what is tested)


@given(
    text=st.text(min_size=1, max_size=60).filter(str.isprintable)
    | st.sampled_from(
        ["yes", "No", "null", "1", "1e5", "- a", "a: b", "#", "a #b", "[", "~", "y", ".nan", "2024-01-01"]
    )
)
def test_texts_survive_yaml(text: str) -> None:
    """A scalar reads back as the text, also inside a list in brackets."""
    assert YAML(typ="safe").load(f"a: [{yaml_scalar(text)}]") == {"a": [text]}


@pytest.mark.parametrize("name", ["a\nb", "", "x" * 201, 7])
def test_names_that_no_caller_could_write_are_left_out(name: str) -> None:
    """A line break, nothing, or too long: the column is left out of the schema, and that is said."""
    assert "its name" in examine(name, pd.Series([1.0, 2.0])).lost


@given(st.floats(1e-300, 1e300))
def test_limits_are_round_and_never_too_narrow(value: float) -> None:
    """A limit is at or beyond the value, and at most two and a half times as far."""
    assert value * (1 - 1e-5) <= outward(value) <= 2.5 * value


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=20))
def test_ranges_hold_what_was_seen(values: list[float]) -> None:
    """Every value lies within the limits, which do not reach through zero where the values do not."""
    low, high = Column("x", "number", 9, range=(min(values), max(values))).limits
    assert low is None or low <= min(values)
    assert high is None or high >= max(values)
    assert low is None or min(values) < 0 or low >= 0


def test_a_class_has_a_name_that_python_takes() -> None:
    """Names of models become names of classes, also where they are digits or words of Python."""
    assert [class_name(name) for name in ("late-flights_2", "none", "2013", "ü")] == [
        "LateFlights2",
        "TableNone",
        "Table2013",
        "Table",
    ]


def test_numbers_of_every_size_are_written_as_ruff_writes_them() -> None:
    """A range of 0 to 3e18 in schema.py would else fail the repository's own `make test`."""
    numbers = (0, 1, -2.5, 0.1, 1e-7, 5e-324, 123456.5, 1e15, 2.5e16, 3e18, -3e18, 3.4e38, 1e300)
    text = "".join(f"x = {python_number(number)}\n" for number in numbers)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "x.py", "-"]
    said = subprocess.run(command, input=text, check=True, capture_output=True, text=True)
    assert said.stdout == text
    assert [float(line.removeprefix("x = ")) for line in text.splitlines()] == [float(number) for number in numbers]
