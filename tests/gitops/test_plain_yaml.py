"""The fast reader of plain YAML says what the round-trip reader says, or nothing."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.parsing import dump_yaml, load_yaml
from towpath_gitops.records.plain_yaml import read_plain

FILE = """\
apiVersion: towpath/v1
kind: Deployment   # half of it is written by promotions
model: flights
environment: staging
release:
  id: sha256:28f8ef644488863d49524f83da5f8a74c28d2dceae844d3651e45e51dfba9fec
  version: 3
  semver: 1.2.0
  code: 4be1c0d000000000000000000000000000000000
  image: null
change:
  type: promote
  from: null
  reason: weekly retrain, on later rows
# who owns this file: the platform team
hold:
  blocked:
    - sha256:4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a
  reason: 'worse: it''s late'
  since: '2026-01-01T00:00:00Z'
experiment: null
target: {kind: local, port: 3000, workers: 1}
rollout:
  strategy: switch
  steps: [0.1, 0.5, 1.0]
  soak: 30s
"""
PLAIN = FILE.replace("it''s", "is")


def plain(value: Any) -> Any:  # noqa: ANN401 (YAML is any of dict, list and scalars)
    """Return a round-trip document in Python's own types, so that 1, 1.0 and true are told apart."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    base = next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), None)
    return (base, base(value)) if base else (type(value), value)


def agrees(text: str) -> bool:
    """Return whether the fast reader gave an answer; fail when it is not the other's."""
    fast = read_plain(text)
    if fast is not None:
        assert plain(fast) == plain(load_yaml(text, source="x"))
    return fast is not None


def test_a_file_as_it_is_written_is_read_fast() -> None:
    """Comments, flow collections, digests and quoted text included; an escaped quote is left to the other reader."""
    assert agrees(PLAIN)
    assert not agrees(FILE)


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "- a", "a:", "a: b: c", "a: |\n  b", "a: b\n  c", "a: &x b", "a: *x", "a: !!str b", "a: [b", "a: {b}",
        "a: 2026-01-01", "a: 0x1f", "a: 0o17", "a: 017", "a: 1_000", "a: 1e5", "a: .5", "a: -1", "a: .inf", "a: ~",
        "a: True", "a: yes", "yes: a", "null: a", "a: b\na: c", "a:\n- b", "a:\n    b: c", "a:\n  b: c\n   d: e",
        "a: 'b''c'", 'a: "b\\n"', "a:\tb", "a: b\r\n", "a: é", "--- \na: b", "a: b #c\n  d", "a: b#c", "a: 12:30",
        "a: 0b01010101010101010101010101010101010101", "a: 123456789012345678901234567890123456e123", "? a\n: b",
        "a: {b: c, b: d}", "a: [b,c]", "a: [ b ]", "a: {b: [c]}", "<<: a", "a: @b", "a: `b`", "a: %b", "a: b,", "a:b",
    ],
)  # fmt: skip
def test_what_is_not_certain_is_left_to_the_other_reader(text: str) -> None:
    """Everything in which YAML hides a surprise."""
    assert read_plain(text) is None


YAML_MARKS = "ab01e:.-#'\"[]{}, \n&*!|>~?%@`_xo"
edits = st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 3), st.text(YAML_MARKS, max_size=4))


@settings(max_examples=400)
@given(st.lists(edits, min_size=1, max_size=3))
@example([(PLAIN.index("weekly"), 0, "- ")])
@example([(PLAIN.index("  semver"), 0, "  ")])
def test_an_edited_file_is_read_alike_or_not_at_all(changes: list[tuple[int, int, str]]) -> None:
    """Wherever characters of YAML are put in or taken out, the two readers agree; they refuse alike, too."""
    text = PLAIN
    for position, removed, added in changes:
        text = text[:position] + added + text[position + removed :]
    try:
        load_yaml(text, source="x")
    except InvalidFileError:
        assert read_plain(text) is None
    else:
        agrees(text)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
    st.from_regex(re.compile(r"[0-9a-f.:_-]{1,8}", re.ASCII), fullmatch=True),
)  # fmt: skip
keys = st.from_regex(re.compile(r"[a-z][A-Za-z0-9_]{0,5}", re.ASCII), fullmatch=True)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(keys, scalars, max_size=3))
documents = st.dictionaries(keys, values)


@settings(max_examples=200)
@given(documents)
def test_whatever_is_dumped_is_read_alike_or_not_at_all(document: dict[str, Any]) -> None:
    """Any text and number that our writer may write."""
    agrees(dump_yaml(document))


LOOKALIKES = "abcdefxo0123456789.:_-+eE TZnulysN'\""
PLACES = ("a: {}", "a: [{}]", "a: {{b: {}}}", "a:\n  - {}")


@settings(max_examples=300)
@given(st.text(LOOKALIKES, min_size=1, max_size=12), st.sampled_from(PLACES))
def test_any_scalar_is_read_alike_or_not_at_all(text: str, place: str) -> None:
    """Numbers, dates and words that look like one another, in every place where a scalar can stand."""
    written = place.format(text)
    try:
        load_yaml(written, source="x")
    except InvalidFileError:
        assert read_plain(written) is None
    else:
        agrees(written)
