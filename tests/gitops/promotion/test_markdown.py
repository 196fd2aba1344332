"""Words stay words, whatever a forge would make of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.promotion.markdown import code, table, text


@given(st.text())
def test_no_text_breaks_a_table_or_opens_markup(words: str) -> None:
    """One line, no live sign, and a table keeps its shape."""
    line = text(words)
    assert not re.search(r"[\n\r<>|`*\[\]@\\]|\b__|(^|\W)_|_(\W|$)|://|www\.", line, re.IGNORECASE)
    assert [row.count("|") for row in table(["a", "b"], [["x", words or "y"]]).split("\n")] == [3, 3, 3]


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("roc_auc", "roc_auc"),
        ("ask @grace", "ask &#64;\u200bgrace"),
        ("ada@example.org", "ada&#64;example.org"),
        ("as in #12", "as in &#35;\u200b12"),
        ("see https://evil.example", "see https&#58;//evil.example"),
        ("see WWW.evil.example", "see WWW&#46;evil.example"),
        ("2 < 3 & 4", "2 &lt; 3 &amp; 4"),
    ],
)
def test_signs_are_written_so_that_nothing_comes_to_life(words: str, written: str) -> None:
    """People, issues and addresses are not linked; what marks nothing up stays readable."""
    assert text(words) == written


@given(st.text())
def test_code_cannot_be_left(words: str) -> None:
    """Nothing between the signs ends them."""
    assert re.fullmatch(r"`[A-Za-z0-9 ._:/@+=\u2013-]+`", code(words))


def test_empty_columns_are_left_out_and_numbers_stand_right() -> None:
    """A table shows what there is."""
    assert table(["a", "b", "c"], [["x", "", "1"]], right=(2,)) == "| a | c |\n| --- | ---: |\n| x | 1 |"
