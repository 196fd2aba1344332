"""Text that people wrote: every fault is said with file, line and expectation, and bombs cost nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.parsing import MAX_BYTES, MAX_DEPTH, dump_yaml, load_yaml, parse_json, parse_yaml
from towpath_gitops.records.policy import Policy

GOOD = "apiVersion: towpath/v1\nkind: Policy\nenvironments:\n  - name: staging\n    soak: 1h\n"


def _fault(text: str) -> str:
    with pytest.raises(InvalidFileError) as caught:
        parse_yaml(text, Policy, source="gitops/policy.yaml")
    return str(caught.value)


def test_a_good_file_becomes_a_record() -> None:
    """And the same text the same record."""
    assert parse_yaml(GOOD, Policy, source="p").environments[0].name == "staging"
    assert parse_json('{"apiVersion":"towpath/v1","kind":"Policy","environments":[{"name":"a"}]}', Policy, source="p")


def test_an_unknown_key_gets_a_suggestion_and_its_line() -> None:
    """A slip of the finger is named with the key that was meant."""
    assert "gitops/policy.yaml, line 5: environments.0.sook: unknown key; did you mean “soak”?" in _fault(
        GOOD.replace("soak", "sook")
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty or not a mapping"),
        ("- a\n- b\n", "is empty or not a mapping"),
        ("just words", "is empty or not a mapping"),
        (GOOD.replace("1h", "soon"), "line 5: environments.0.soak: write a duration"),
        (GOOD.replace("kind: Policy\n", ""), "kind: is missing"),
        (GOOD.replace("Policy", "Deployment"), "line 2: kind: "),
        (GOOD + "kind: Policy\n", "duplicate key"),
        (GOOD.replace("name: staging", "name: [staging"), "not valid YAML"),
        (GOOD.replace("staging", "&a staging"), "anchors and aliases"),
        (GOOD.replace("staging", "*a"), "anchors and aliases"),
        (GOOD.replace("staging", "!!python/object:os.system staging"), "tags are not allowed"),
        (GOOD + "\x00", "not valid YAML"),
        (GOOD + "---\na: 1\n", "not valid YAML"),
    ],
)
def test_each_fault_is_named(text: str, words: str) -> None:
    """Empty, wrong type, missing, duplicate, anchors, tags, control characters, two documents."""
    assert words in _fault(text)


def test_all_faults_are_told_at_once() -> None:
    """Two wrong fields are two lines of one error."""
    fault = _fault(GOOD.replace("1h", "soon").replace("staging", "Staging"))
    assert "2 problems" in fault
    assert "environments.0.name" in fault
    assert "environments.0.soak" in fault


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n",
        "a: " + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5),
        "a: " + "x" * MAX_BYTES,
        "? " * 500 + "x",
    ],
)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    """Aliases, depth and size are refused before any object is built."""
    began = time.process_time()
    with pytest.raises(InvalidFileError):
        load_yaml(bomb, source="bomb.yaml")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', '{"kind": NaN}', "null", "1" * 5000])
def test_json_that_is_no_record_is_refused(text: str) -> None:
    """Not JSON, not an object, not the fields."""
    with pytest.raises(InvalidFileError, match=r"p\.json"):
        parse_json(text, Policy, source="p.json")


@given(st.text())
def test_no_text_gets_anything_but_our_error(text: str) -> None:
    """Whatever people write that is no policy, they get one error with the file's name."""
    with pytest.raises(InvalidFileError, match=r"p\.yaml"):
        parse_yaml(text, Policy, source="p.yaml")


@given(st.text(), st.text())
def test_a_text_value_never_becomes_structure(key: str, value: str) -> None:
    """Dumped and loaded, hostile keys and values are the same text and add no key."""
    try:
        text = dump_yaml({"k": {key: value}})
        read = load_yaml(text, source="x")
    except (InvalidFileError, UnicodeEncodeError):
        return
    assert read == {"k": {key: value}}


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
def test_line_breaks_of_unicode_stay_themselves(mark: str) -> None:
    """A text that holds one reads back as it was written, alone and among other words."""
    for text in (mark, f"a{mark}b"):
        assert load_yaml(dump_yaml({"k": text, text: 1}), source="x") == {"k": text, text: 1}


def test_comments_order_and_quotes_survive() -> None:
    """A file that is read and written is the same file."""
    text = "# top\nb: 'x' # beside\n\n# before\na:\n  - 1\n  - {c: null}\n"
    assert dump_yaml(load_yaml(text, source="x")) == text


@pytest.mark.parametrize("text", ["a: -_", "a: +_", "[-_]"])
def test_a_scalar_over_which_the_library_trips_is_an_invalid_file(text: str) -> None:
    """Whatever is written, a person is told in which file."""
    with pytest.raises(InvalidFileError, match=r"model\.yaml: not valid YAML"):
        load_yaml(text, source="model.yaml")
