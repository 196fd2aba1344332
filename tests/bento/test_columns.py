"""Where columns stand in the arrays that graphs take."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_bento.columns import Places
from towpath_gitops.records.signature import Column, ColumnType, Signature

TYPES: tuple[ColumnType, ...] = ("number", "string", "integer", "boolean", "string")


def places(*types: ColumnType) -> Places:
    """Return the places of a signature with inputs of these types, called a, b, c … and all nullable."""
    inputs = tuple(Column(name="abcdefgh"[i], type=kind, nullable=True) for i, kind in enumerate(types))
    return Places(Signature(task="regression", target="y", inputs=inputs))


def test_columns_stand_in_the_order_of_the_signature() -> None:
    """Numbers, integers and booleans go into one array, texts into the other, each from left to right."""
    found = places(*TYPES)
    assert (found.numbers, found.texts) == (("a", "c", "d"), ("b", "e"))
    assert found.of["d"] == ("numbers", 2)
    assert found.of["e"] == ("texts", 1)


def test_rows_become_two_arrays_and_columns_are_parts_of_them() -> None:
    """None is NaN among numbers and nothing among texts; a column is seen without being copied."""
    blocks = places(*TYPES).fill([(1.5, 2.0, True, "x", "ż"), (None, -1.0, None, None, "")])
    np.testing.assert_array_equal(blocks.numbers, np.array([[1.5, 2, 1], [np.nan, -1, np.nan]], np.float32))
    assert blocks.texts.tolist() == [["x", "ż"], ["", ""]]
    assert list(blocks) == ["a", "b", "c", "d", "e"]
    assert blocks["e"].tolist() == [["ż"], [""]]
    assert np.shares_memory(blocks["c"], blocks.numbers)


@pytest.mark.parametrize("kind", ["number", "string"])
def test_a_signature_may_have_columns_of_one_type_only(kind: ColumnType) -> None:
    """The other array is as long and has no columns."""
    blocks = places(kind, kind).fill([(None, None)] * 3)
    assert {blocks.numbers.shape, blocks.texts.shape} == {(3, 2), (3, 0)}


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=8), st.integers(1, 5))
def test_joined_columns_are_the_same_arrays(types: list[ColumnType], rows: int) -> None:
    """What is filled from rows, and what is joined from the columns, is alike to the byte."""
    found = places(*types)
    width = len(found.numbers)
    filled = found.fill(
        [(*(float(row + 10 * i) for i in range(width)), *(f"{row}{i}" for i in found.texts)) for row in range(rows)]
    )
    joined = found.join({name: filled[name].copy() for name in reversed(found.names)})
    assert joined.numbers.tobytes() == filled.numbers.tobytes()
    assert joined.texts.tolist() == filled.texts.tolist()
    assert (joined.numbers.dtype, joined.texts.dtype) == (np.float32, object)
