import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from towpath_bento.limits import EXACT_INTEGER, FLOAT32_MAX, MAX_ROWS, MAX_TEXT
from towpath_bento.openapi import document
from towpath_bento.problems import MAX_ERRORS, ProblemError, faults
from towpath_bento.wire import Codec, decisions, is_bulk, predictions
from towpath_gitops.records.signature import Column, Signature

SIGNATURE = Signature(
    task="binary",
    target="late",
    classes=("no", "yes"),
    inputs=(
        Column(name="x", type="number", nullable=True, minimum=-10),
        Column(name="n", type="integer"),
        Column(name="flag", type="boolean", nullable=True),
        Column(name="kind", type="string", nullable=True, categories=("red", "grün")),
        Column(name="a b", type="string"),
    ),
)
CODEC = Codec(SIGNATURE)
ROW: dict[str, Any] = {"x": 1.5, "n": 3, "flag": True, "kind": "red", "a b": "t"}


def refuse(body: bytes | str) -> ProblemError:
    """Return the problem that the body has."""
    with pytest.raises(ProblemError) as caught:
        CODEC.decode(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    json.loads(caught.value.body())
    return caught.value


def refuse_row(changes: dict[str, Any]) -> tuple[str | None, str]:
    """Return field and message of the one fault in a row with `changes`, the second of two."""
    problem = refuse(json.dumps({"rows": [ROW, ROW | changes]}))
    assert problem.status == 422
    assert [error["row"] for error in problem.errors] == [1], problem.errors
    return problem.errors[0]["field"], problem.errors[0]["message"]


def test_a_request_becomes_columns() -> None:
    """Numbers, integers and booleans become float32 with NaN for missing, strings objects with "" for missing."""
    rows = [ROW, {"n": 4.0, "a b": ""}, ROW | {"x": None, "kind": "grün", "flag": False}]
    request = CODEC.decode(json.dumps({"rows": rows, "entity": "e1"}).encode())
    assert (request.rows, request.entity) == (3, "e1")
    assert {name: (array.dtype.name, array.shape) for name, array in request.columns.items()} == {
        "x": ("float32", (3, 1)),
        "n": ("float32", (3, 1)),
        "flag": ("float32", (3, 1)),
        "kind": ("object", (3, 1)),
        "a b": ("object", (3, 1)),
    }
    np.testing.assert_array_equal(request.columns["x"][:, 0], [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(request.columns["flag"][:, 0], [1, np.nan, 0])
    assert request.columns["kind"][:, 0].tolist() == ["red", "", "grün"]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"n": None}, "n", "must not be null"),
        ({"n": "3"}, "n", 'must be a whole number, not "3"'),
        ({"n": True}, "n", "must be a whole number, not true"),
        ({"n": 3.5}, "n", "must be a whole number, not 3.5"),
        ({"n": 2**24 + 1}, "n", "16777217 is outside -16777216 to 16777216"),
        ({"n": 10**40}, "n", f"1{'0' * 40} is outside -16777216 to 16777216"),
        ({"n": 10**400}, "n", "a huge number is outside -16777216 to 16777216"),
        ({"x": -10.5}, "x", "-10.5 is outside -10 to 3.40282347e+38"),
        ({"x": 1e39}, "x", "1e+39 is outside -10 to 3.40282347e+38"),
        ({"x": [1]}, "x", "must be a number or null, not [1]"),
        ({"flag": 1}, "flag", "must be true, false or null, not 1"),
        ({"kind": "gruen"}, "kind", "gruen is none of: red, grün; did you mean “grün”?"),
        ({"kind": 7}, "kind", "must be a string or null, not 7"),
        ({"a b": {}}, "a b", "must be a string, not {}"),
        ({"a b": "x" * (MAX_TEXT + 1)}, "a b", f"is longer than {MAX_TEXT} characters"),
        ({"a_b": "t"}, "a_b", "is not a column of this model; did you mean “a b”?"),
        ({"zzz": None}, "zzz", "is not a column of this model"),
    ],
)
def test_a_bad_value_is_named_by_row_and_field(changes: dict[str, Any], field: str, message: str) -> None:
    """Each kind of bad value is refused with its row, its field and what was expected."""
    assert refuse_row(changes) == (field, message)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"rows": [{"x": NaN}]}',
        b'{"rows": [{"x": -Infinity}]}',
        b'{"rows": [{"x": Infinity}]}', b'{"rows": [{"x": 01}]}', b'{"rows": []} x', b'{"rows": [{"a b": "\n"}]}',
        json.dumps({"rows": [ROW]}).encode("utf-16"), b"1" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_json_is_400(body: bytes) -> None:
    """Malformed JSON, NaN and infinities, other encodings and endless nesting are 400."""
    assert refuse(body).status == 400


@pytest.mark.parametrize(
    ("document_", "field"),
    [
        (None, None), ([], None), ({}, "rows"), ({"rows": {}}, "rows"), ({"rows": []}, "rows"),
        ({"rows": [ROW], "x": 1}, "x"),
        ({"rows": [ROW] * (MAX_ROWS + 1)}, "rows"), ({"rows": [ROW], "entity": 7}, "entity"),
        ({"rows": [ROW], "entity": "e" * (MAX_TEXT + 1)}, "entity"), ({"row": [ROW]}, "row"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_422(document_: object, field: str | None) -> None:
    """A document that is no request is refused as a whole, naming the part."""
    problem = refuse(json.dumps(document_))
    assert problem.status == 422
    assert problem.errors[0]["row"] is None
    assert field in {error["field"] for error in problem.errors}


def test_all_faults_are_told_up_to_a_limit() -> None:
    """A caller sees every fault at once, but not ten thousand."""
    problem = refuse(json.dumps({"rows": [{"x": "1"}]}))
    assert [error["field"] for error in problem.errors] == ["x", "n", "a b"]
    assert len(refuse(json.dumps({"rows": [{}] * 1000})).errors) == MAX_ERRORS


LARGE = ROW | {"a b": "x" * 900}


def refuse_large(*rows: object, **changes: object) -> ProblemError:
    """Return the problem of a request that is too large to be read again as a whole."""
    body = json.dumps({"rows": [*[LARGE] * 100, *rows], **changes})
    assert len(body) > 65_536
    return refuse(body)


@pytest.mark.parametrize(
    ("rows", "changes", "told"),
    [
        ([LARGE | {"n": "3"}], {}, [(100, "n", 'must be a whole number, not "3"')]),
        ([LARGE | {"n": "3", "ab": 1}], {}, [(100, "ab", None), (100, "n", None)]),
        ([LARGE | {"n": 3.5}, LARGE, LARGE | {"kind": "blue"}], {}, [(100, "n", None), (102, "kind", None)]),
        ([{}], {}, [(100, "n", "is missing"), (100, "a b", "is missing")]),
        ([7], {}, [(100, None, None)]),
        ([LARGE] * MAX_ROWS, {}, [(None, "rows", f"must hold 1 to {MAX_ROWS} rows, not {MAX_ROWS + 100}")]),
        ([], {"entity": 7}, [(None, "entity", None)]),
        ([], {"entity": "e" * (MAX_TEXT + 1)}, [(None, "entity", None)]),
        ([], {"more": 7}, [(None, "more", "is not a column of this model")]),
        ([], {"rows": 7, "note": "x" * 70_000}, [(None, "rows", None)]),
        ([], {"rows": None, "note": "x" * 70_000}, [(None, "rows", None)]),
        ([LARGE | {"a_b": "x" * 70_000}], {}, [(100, "a_b", "is not a column of this model; did you mean “a b”?")]),
        ([{"x": "y" * 70_000}], {}, [(100, "x", None)]),
        ([{"a b": "y" * 70_000}], {}, [(100, "a b", None)]),
        ([LARGE | {"k" * 70_000: 1}], {}, [(100, "k" * 60 + "…", "is not a column of this model")]),
        ([{"flag": [0] * 70_000}, {"n": []}], {}, [(100, "flag", None), *((101, each, None) for each in ("n", "a b"))]),
    ],
)
def test_a_large_request_is_explained_as_well(
    rows: list[Any], changes: dict[str, Any], told: list[tuple[Any, ...]]
) -> None:
    """Row by row, from the first bad one on; a large row is told its first fault."""
    problem = refuse_large(*rows, **changes)
    assert problem.status == 422
    assert [(each["row"], each["field"]) for each in problem.errors] == [(row, field) for row, field, _ in told]
    for each, (_, _, message) in zip(problem.errors, told, strict=True):
        assert message in {None, each["message"]}
        assert each["message"]


@pytest.mark.parametrize("end", [b"x", b"]", b", NaN", b"\x00", b"[" * 3000])
def test_what_is_large_and_not_json_is_400(end: bytes) -> None:
    """Wherever it breaks."""
    body = json.dumps({"rows": [LARGE] * 100}).encode()
    assert refuse(body + end).status == 400
    assert refuse(body[:-2] + b', {"n": 3, "x": ' + end).status == 400


def test_a_large_request_is_refused_before_others_have_to_wait() -> None:
    """What eight megabytes may hold (lists in lists, many names, many rows) costs milliseconds, not seconds."""
    nested = b'{"x": %s}' % (b"[" * 900 + b"]" * 900)
    names = b",".join(b'"%d":1' % number for number in range(500_000))
    bodies = [
        b'{"rows": [%s]}' % b",".join([nested] * 4000),
        b'{"rows": [{%s}]}' % names,
        b'{%s, "rows": []}' % names,
        b'{"rows": [%s]}' % b",".join([b"{}"] * 2_000_000),
    ]
    for body in bodies:
        before_s = time.process_time()
        assert refuse(body).status == 422
        assert time.process_time() - before_s < 0.5


def test_the_detail_names_the_place() -> None:
    """Whoever reads the detail alone knows where to look."""
    assert refuse(json.dumps({"rows": {}})).detail == "rows: must be a list of objects"
    assert refuse(json.dumps({"rows": [7]})).detail == "row 0: must be an object, not 7"
    assert refuse(json.dumps({"rows": [ROW | {"n": "3"}]})).detail == 'row 0, n: must be a whole number, not "3"'


def test_deep_nesting_is_refused_whatever_its_depth() -> None:
    """What can just be read, and not be written again, is refused like all else."""
    bodies = (b'{"rows": [{"x": %s}]}' % (b"[" * depth + b"]" * depth) for depth in (*range(850, 1010), 3000, 30_000))
    assert {refuse(body).status for body in bodies} <= {400, 422}


def test_half_a_surrogate_pair_is_refused_and_told() -> None:
    """Text that has no UTF-8 form is refused, and the problem document about it is still valid."""
    assert refuse('{"rows": [{"a b": "\\ud800"}]}').status in {400, 422}
    assert refuse('{"rows": [{"\\ud800": 1}]}').status in {400, 422}


@pytest.mark.parametrize("value", [FLOAT32_MAX, -10, 0, 1e-300, -0.0, 5])
def test_numbers_at_the_limits_are_taken(value: float) -> None:
    """The largest float32, the owner's own limit and the smallest numbers are valid."""
    column = CODEC.decode(json.dumps({"rows": [ROW | {"x": value}]}).encode()).columns["x"]
    assert np.isfinite(column).all()


def test_integers_are_exact_up_to_the_limit() -> None:
    """The largest integer that is taken arrives unchanged."""
    column = CODEC.decode(json.dumps({"rows": [ROW | {"n": int(EXACT_INTEGER)}]}).encode()).columns["n"]
    assert column[0, 0] == 2**24


@pytest.mark.parametrize(
    "kind", ["", "application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_is_taken(kind: str) -> None:
    """JSON in UTF-8 is taken however it is spelled."""
    assert not is_bulk(kind.encode())


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/octet-stream",
    ],
)
def test_other_types_are_415(kind: str) -> None:
    """What is not said to be JSON in UTF-8 is refused without being read."""
    with pytest.raises(ProblemError) as caught:
        is_bulk(kind.encode())
    assert caught.value.status == 415


def test_answers_by_task() -> None:
    """Each task answers in its own shape, and what is not a number becomes null."""
    binary = np.array([[0.25], [0.5], [np.nan]])
    assert json.loads(CODEC.encode("r", binary)) == {
        "release": "r",
        "predictions": [
            {"label": "no", "probability": 0.25},
            {"label": "yes", "probability": 0.5},
            {"label": "no", "probability": None},
        ],
    }
    several = SIGNATURE.model_copy(update={"task": "multiclass", "classes": ("a", "b", "c")})
    assert predictions(several, np.array([[0.25, 0.5, 0.25]])) == [
        {"label": "b", "probabilities": {"a": 0.25, "b": 0.5, "c": 0.25}}
    ]
    number = SIGNATURE.model_copy(update={"task": "regression", "classes": None})
    assert predictions(number, np.array([[2.5]])) == [{"value": 2.5}]


def test_the_contract_describes_the_signature() -> None:
    """The OpenAPI document names each column with its type, limits and closed list."""
    made = document("tiny", SIGNATURE)
    row = made["components"]["schemas"]["Row"]
    assert made["openapi"] == "3.1.0"
    assert row["required"] == ["n", "a b"]
    assert row["properties"]["x"] == {"type": ["number", "null"], "minimum": -10, "maximum": FLOAT32_MAX}
    assert row["properties"]["kind"] == {"type": ["string", "null"], "enum": ["red", "grün", None]}
    json.dumps(made, allow_nan=False)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**25), 2**25), st.floats(), st.text(max_size=5),
    st.sampled_from(["red", "grün", "x" * 1001, 2**24, 10**400, 1e39]), st.lists(st.none(), max_size=1),
)  # fmt: skip
ROWS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("x", "n", "flag", "kind", "a b", "other"), VALUES)
) | st.fixed_dictionaries({name: st.just(value) | VALUES for name, value in ROW.items()})
ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
REQUESTS = st.fixed_dictionaries(
    {"rows": st.lists(ROWS | VALUES, max_size=3)}, optional={"entity": VALUES, "else": VALUES}
)


def problem_with(body: bytes) -> ProblemError | None:
    """Return the problem that the body has, None when it is valid."""
    try:
        request = CODEC.decode(body)
    except ProblemError as problem:
        json.loads(problem.body())
        return problem
    assert all(len(column) == request.rows for column in request.columns.values())
    return None


@given(REQUESTS | ANYTHING)
@example({"rows": [ROW]})
@example({"rows": [ROW | {"n": 3.0}]})
def test_any_document_is_valid_or_explained(value: object) -> None:
    """The typed decoder and the explanation agree on every document: valid, or 422 with at least one fault."""
    body = json.dumps(value).encode()
    problem = problem_with(body)
    if problem is None:
        assert not list(faults(json.loads(body), SIGNATURE))
    elif any(word in body for word in (b"NaN", b"Infinity", b"\\ud")):
        assert problem.status in {400, 422}
    else:
        assert problem.status == 422
        assert problem.errors


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_valid(body: bytes) -> None:
    """No bytes make the decoder fail otherwise than with a problem."""
    problem = problem_with(body)
    assert problem is None or problem.status in {400, 422}


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_request_is_refused_or_valid(place: int, byte: int) -> None:
    """One byte changed in a valid request never does more than make it invalid."""
    body = bytearray(json.dumps({"rows": [ROW]}).encode())
    body[place] = byte
    problem = problem_with(bytes(body))
    assert problem is None or problem.status in {400, 422}


@given(st.floats(0, 1, width=64))
@example(0.7)
def test_every_way_decides_alike_at_the_threshold(threshold: float) -> None:
    """Also by probabilities of 32 bits that lie as near to it as they can: in a label as in a journal or a metric."""
    signature = SIGNATURE.model_copy(update={"threshold": threshold})
    values = np.array([[threshold], [threshold - 1e-7], [threshold + 1e-7]], np.float32)
    labels = [told["label"] for told in predictions(signature, values)]
    assert labels == [("no", "yes")[code] for code in decisions(signature, values)]
