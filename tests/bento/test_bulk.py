# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import; pyarrow is not typed)
"""Many rows at once, as an Arrow IPC stream."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from towpath_bento import bulk, wire
from towpath_bento.limits import MAX_BULK_MESSAGES, MAX_BULK_ROWS, MAX_TEXT
from towpath_bento.problems import ProblemError
from towpath_bento.wire import ARROW, Codec, is_bulk

ROWS: list[dict[str, Any]] = [
    {"distance km": 3.5, "hour": 9, "holiday": True, "city": "Gent", "note": "rain"},
    {"distance km": 0.1, "hour": None, "holiday": None, "city": None, "note": ""},
    {"distance km": 7.0, "hour": 23, "holiday": False, "city": "Łódź", "note": "snow"},
]


def stream(table: Any, **options: Any) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def table(**changes: Any) -> Any:
    """Return `ROWS` as a table, some of its columns changed, and without those that are None."""
    columns = {name: pa.array([row[name] for row in ROWS]) for name in ROWS[0]}
    columns |= {name.replace("distance", "distance km"): values for name, values in changes.items()}
    return pa.table({name: values for name, values in columns.items() if values is not None})


def problem(codec: Codec, body: bytes) -> ProblemError:
    """Return what is wrong with a body."""
    with pytest.raises(ProblemError) as caught:
        bulk.decode(codec, body)
    json.loads(caught.value.body())
    return caught.value


def same(codec: Codec, made: Any) -> bool:
    """Whether a table is read as `ROWS` are in JSON, to the byte."""
    expected = codec.decode(json.dumps({"rows": ROWS}).encode()).columns
    found = bulk.decode(codec, stream(made)).columns
    return (found.numbers.tobytes(), found.texts.tolist()) == (expected.numbers.tobytes(), expected.texts.tolist())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"distance": pa.array([3.5, 0.1, 7.0], pa.float64())},
        {"hour": pa.array([9, None, 23], pa.int8())},
        {"hour": pa.array([9.0, None, 23.0], pa.float64())},
        {"hour": pa.array([9.0, np.nan, 23.0], pa.float32())},
        {"city": pa.array(["Gent", None, "Łódź"]).dictionary_encode()},
        {"note": pa.array(["rain", "", "snow"], pa.large_string())},
        {"note": pa.chunked_array([["rain"], ["", "snow"]])},
        {"note": pa.array(["rain", "", "snow"], pa.string_view())},
        {"city": pa.array(["Gent", None, "Łódź"], pa.string_view())},
        {"city": pa.array(["Delft", "Gent", None, "Łódź"], pa.string_view())[1:]},
    ],
)
def test_a_table_is_read_as_the_same_rows_in_json(codec: Codec, changes: dict[str, Any]) -> None:
    """Whatever types hold the values: wide or narrow numbers, null or NaN, dictionaries, several batches."""
    assert same(codec, table(**changes))


def test_columns_that_may_be_missing_may_be_left_out(codec: Codec) -> None:
    """A column of nulls, of no type, or none at all: all of it is missing."""
    left_out = bulk.decode(codec, stream(table(hour=None, city=None))).columns
    empty = bulk.decode(codec, stream(table(hour=pa.nulls(3), city=pa.nulls(3)))).columns
    assert np.isnan(left_out["hour"]).all()
    assert left_out["city"].tolist() == [[""]] * 3
    assert left_out.numbers.tobytes() == empty.numbers.tobytes()
    assert left_out.texts.tolist() == empty.texts.tolist()


@pytest.mark.parametrize(
    ("changes", "field", "row"),
    [
        ({"distance": None}, "distance km", None),
        ({"distance": pa.array([1.0, None, 2.0])}, "distance km", 1),
        ({"distance": pa.array([1.0, 2.0, np.nan])}, "distance km", 2),
        ({"distance": pa.array([1.0, 2.0, np.inf])}, "distance km", 2),
        ({"distance": pa.array([1.0, -1.0, 2.0])}, "distance km", 1),
        ({"distance": pa.array([1.0, 1e39, 2.0])}, "distance km", 1),
        ({"distance": pa.array(["1", "2", "3"])}, "distance km", None),
        ({"distance": pa.array([True, False, True])}, "distance km", None),
        ({"hour": pa.array([1.0, 2.5, 3.0])}, "hour", 1),
        ({"hour": pa.array([1, 2, 2**40])}, "hour", 2),
        ({"holiday": pa.array([1, 0, 1])}, "holiday", None),
        ({"city": pa.array(["Gent", "Paris", None])}, "city", 1),
        ({"city": pa.array([1, 2, 3])}, "city", None),
        ({"note": pa.array(["x", None, "y"])}, "note", 1),
        ({"note": pa.array(["x", "y", "z" * (MAX_TEXT + 1)])}, "note", 2),
        ({"note": pa.array([["x"], ["y"], ["z"]])}, "note", None),
        ({"colour": pa.array([1, 2, 3])}, "colour", None),
    ],
)
def test_what_does_not_fit_is_named_by_column_and_row(
    codec: Codec, changes: dict[str, Any], field: str, row: int | None
) -> None:
    """The limits are those of JSON, and so is the problem document."""
    found = problem(codec, stream(table(**changes)))
    assert found.status == 422
    assert [(each["field"], each["row"]) for each in found.errors] == [(field, row)]


def test_unknown_columns_may_be_ignored(codec: Codec) -> None:
    """Where the owner says so, of whatever type they are."""
    assert same(Codec(codec.signature, "ignore"), table(colour=pa.array([[1], [2], []])))


def test_a_column_that_is_there_twice_is_refused(codec: Codec) -> None:
    """Nobody could say which of the two is meant."""
    made = table()
    assert problem(codec, stream(made.append_column("hour", made["hour"]))).errors[0]["field"] == "hour"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unknown", ["refuse", "ignore"])
def test_very_many_columns_are_looked_at_once(codec: Codec, unknown: Any) -> None:
    """A stream of two hundred thousand columns, all called alike, is refused before anybody else has to wait for it."""
    made = pa.Table.from_arrays([pa.nulls(1)] * 200_000, names=["colour"] * 200_000)
    assert problem(Codec(codec.signature, unknown), stream(made)).errors[0]["field"] == "colour"


@pytest.mark.parametrize("rows", [0, MAX_BULK_ROWS + 1])
def test_rows_are_limited(codec: Codec, rows: int) -> None:
    """None, or one too many, is told with the limit; a claim of as many as fit no memory is not believed."""
    made = pa.table({"distance km": np.zeros(rows), "note": [""] * rows})
    assert problem(codec, stream(made)).errors[0]["field"] == "rows"
    claimed = pa.NullArray.from_buffers(pa.null(), 2**31 - 1, [None])
    assert problem(codec, stream(pa.table({"hour": claimed}))).errors[0]["field"] == "rows"


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("column", [None, pa.array(["Gent", None, "Łódź"]).dictionary_encode()])
def test_compressed_streams_are_refused(codec: Codec, compression: str, column: Any) -> None:
    """A few bytes could become more than there is memory for; they are not opened, in rows or in dictionaries."""
    found = problem(codec, stream(table(city=column), compression=compression))
    assert (found.status, "uncompressed" in found.detail) == (400, True)


def test_batches_are_limited(codec: Codec) -> None:
    """Each costs time, even one without rows: a thousand and more are refused unread."""
    made = pa.table({"distance km": [1.0], "note": ["rain"]})
    none, one = made[:0].to_batches() or [pa.RecordBatch.from_pylist([], made.schema)], made.to_batches()
    taken = batched(made.schema, one * (MAX_BULK_MESSAGES - 1))
    assert bulk.decode(codec, taken).rows == MAX_BULK_MESSAGES - 1
    for many in (one * MAX_BULK_MESSAGES, none * 100_000):
        found = problem(codec, batched(made.schema, many))
        assert (found.status, found.errors[0]["field"]) == (422, "rows")
        assert "batches" in found.detail


def batched(schema: Any, batches: Iterable[Any]) -> bytes:
    """Return batches as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def shared(text: str, rows: int, kind: str) -> Any:
    """Return a column in which all rows have one text, which is there once."""
    if kind == "dictionary":
        return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [text])
    views = np.tile(np.array([len(text), 0, 0, 0], np.int32), rows)
    views.reshape(-1, 4)[:, 1] = int.from_bytes(text[:4].encode(), "little")
    found = pa.Array.from_buffers(pa.string_view(), rows, [None, pa.py_buffer(views), pa.py_buffer(text.encode())])
    return found if kind == "view" else pa.DictionaryArray.from_arrays(np.arange(rows, dtype=np.int32), found)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["dictionary", "view", "dictionary of views"])
@pytest.mark.parametrize("column", ["note", "city"])
def test_a_text_that_many_rows_share_counts_for_each(codec: Codec, kind: str, column: str) -> None:
    """Two terabytes in twenty megabytes are refused without being written out, and at once."""
    rows = 100_000
    table = {"distance km": np.zeros(rows), "note": pa.nulls(rows), column: shared("x" * 20_000_000, rows, kind)}
    before_bytes = pa.total_allocated_bytes()
    found = problem(codec, stream(pa.table(table)))
    assert (found.status, "MiB of text" in found.detail) == (422, True)
    assert pa.total_allocated_bytes() - before_bytes < 2**27


def test_a_text_that_many_rows_share_is_answered(codec: Codec) -> None:
    """As long as all of them together are as large as a stream may be."""
    for kind in ("dictionary", "view"):
        made = pa.table({"distance km": np.zeros(50_000), "note": shared("x" * MAX_TEXT, 50_000, kind)})
        assert bulk.decode(codec, stream(made)).columns["note"][-1, 0] == "x" * MAX_TEXT


@pytest.mark.timeout(30)
def test_what_is_not_read_is_not_looked_through(codec: Codec) -> None:
    """An unknown column, or one of an impossible type, costs no more than its size."""
    nested = pa.ListArray.from_arrays(np.arange(100_001, dtype=np.int32), shared("x" * 20_000_000, 100_000, "view"))
    rows = {"distance km": np.zeros(100_000), "note": shared("x", 100_000, "dictionary")}
    for kind in (nested, shared("x" * 20_000_000, 100_000, "view")):
        assert bulk.decode(Codec(codec.signature, "ignore"), stream(pa.table(rows | {"colour": kind}))).rows == 100_000
    found = problem(codec, stream(pa.table(rows | {"note": nested})))
    assert found.errors[0]["message"] == "must hold text, not list<item: string_view>"


@pytest.mark.parametrize("name", [b"other", b"inner"])
def test_names_that_are_no_text_are_refused(codec: Codec, name: bytes) -> None:
    """A column's own, or one inside its type."""
    made = table(note=pa.array([{"inner": "x"}] * 3)).append_column("other", pa.nulls(3))
    found = problem(codec, stream(made).replace(name, b"\xff\xfe\xfd\xfc\xfb"))
    assert found.status in {400, 422}


def test_damaged_streams_are_refused_or_valid(codec: Codec) -> None:
    """Cut off anywhere, or with bytes changed, a stream is never more than a problem."""
    chance = random.Random(7)  # noqa: S311 (nothing is to be kept secret)
    city, note = (
        pa.array(["Gent", None, "Łódź"]).dictionary_encode(),
        pa.array(["rain", "", "s" * 20], pa.string_view()),
    )
    whole = stream(table(city=city, note=note))
    cut = [whole[:length] for length in range(0, len(whole), 7)]
    changed = []
    for _ in range(1500):
        made = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            made[chance.randrange(len(made))] = chance.randrange(256)
        changed.append(bytes(made))
    for body in [b"", b"{}", chance.randbytes(300), *cut, *changed]:
        try:
            assert bulk.decode(codec, body).rows >= 1
        except ProblemError as error:
            assert error.status in {400, 422}  # noqa: PT017 (either may come of it)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_answers_are_those_of_json(tiny: Callable[..., Any], task: str) -> None:
    """The same predictions by the same names, as columns; and the release that gave them."""
    codec = Codec(tiny(task=task).signature)
    k = 3 if task == "multiclass" else 1
    values = np.random.default_rng(3).dirichlet(np.ones(4), 20)[:, :k].astype(np.float32)
    found = ipc.open_stream(bulk.encode(codec.signature, "sha256:r", values)).read_all()
    assert found.schema.metadata == {b"release": b"sha256:r"}
    assert found.to_pylist() == json.loads(codec.encode("sha256:r", values))["predictions"]


def test_a_service_answers_arrow_by_arrow(service: Any) -> None:
    """Over HTTP a table comes back with a row for each row, as JSON has them; a bad one gets a problem document."""
    kind = {"content-type": ARROW}
    answer = service.client.post("/v1/predict", content=stream(table()), headers=kind)
    plain = service.predict(*ROWS).json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, ARROW)
    assert ipc.open_stream(answer.content).read_all().to_pylist() == plain["predictions"]
    assert answer.headers["x-towpath-release"] == plain["release"]
    bad = service.client.post("/invocations", content=stream(table(note=None)), headers=kind)
    assert (bad.status_code, bad.headers["content-type"]) == (422, "application/problem+json")
    assert "application/vnd.apache.arrow.stream" in json.dumps(service.client.get("/openapi.json").json())


def test_a_hundred_thousand_rows_are_answered_at_once(service: Any) -> None:
    """More than JSON takes, in one request; each row has its own answer."""
    made = pa.table({"distance km": np.arange(MAX_BULK_ROWS) / 1e4, "note": ["rain"] * MAX_BULK_ROWS})
    answer = service.client.post("/v1/predict", content=stream(made), headers={"content-type": ARROW})
    found = ipc.open_stream(answer.content).read_all()["probability"].to_numpy()
    assert len(found) == MAX_BULK_ROWS
    assert (np.diff(found) >= 0).all()
    assert found[0] < found[-1]


def test_without_pyarrow_arrow_is_another_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that does not hold it answers 415, and names what it takes."""
    assert is_bulk(ARROW.encode())
    monkeypatch.setattr(wire, "_has_arrow", lambda: False)
    with pytest.raises(ProblemError) as caught:
        is_bulk(ARROW.encode())
    assert (caught.value.status, caught.value.headers["accept"]) == (415, "application/json")
