"""Rows are read from files, by window, and whatever cannot be read is named."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_flows.data.sources import digest_frame, files, json_lines, load, separated
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, InvalidFileError, NotFoundError

New = Callable[..., Project]


def day(number: int, hour: int = 0) -> datetime:
    """Return an hour of a day of January 2026."""
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format that the name asks for."""
    if path.name.removesuffix(".gz").endswith((".csv", ".txt")):
        frame.to_csv(path, index=False)
    elif path.name.removesuffix(".gz").endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True, date_format="iso", date_unit="us")
    else:
        frame.to_parquet(path, index=False)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.txt", "a.jsonl", "a.csv.gz", "a.b.txt.gz", "a.jsonl.gz"])
def test_every_format_gives_the_same_orders(new_project: New, orders: pd.DataFrame, name: str) -> None:
    """Parquet, separated text and JSON lines, also packed by gzip, give the same values."""
    project = new_project(spec=("orders.parquet", name))
    write(orders, project.root / "data" / name)
    frame = load(project).frame
    assert frame["ordered_at"].tolist() == orders["ordered_at"].tolist()
    assert frame["amount"].round(6).equals(orders["amount"].round(6))
    assert frame["order_id"].tolist() == orders["order_id"].tolist()


def test_a_folder_is_one_table(new_project: New, orders: pd.DataFrame) -> None:
    """The files of a folder are read in the order of their names, whatever their format."""
    project = new_project(spec=("data/orders.parquet", "data/parts"))
    (project.root / "data" / "parts").mkdir()
    write(orders.iloc[:700], project.root / "data" / "parts" / "a.csv")
    write(orders.iloc[700:], project.root / "data" / "parts" / "b.parquet")
    (project.root / "data" / "parts" / ".hidden.csv").write_text("x\n")
    (project.root / "data" / "parts" / "README.txt").write_text("What is in here.\n")
    assert load(project).frame["order_id"].tolist() == orders["order_id"].tolist()


def test_text_keeps_its_leading_zeros(new_project: New, orders: pd.DataFrame) -> None:
    """A column that the schema calls text is not read as a number."""
    project = new_project(spec=("orders.parquet", "orders.csv"))
    write(orders.assign(seller="007"), project.root / "data" / "orders.csv")
    assert set(load(project).frame["seller"]) == {"007"}


def test_an_index_with_a_name_is_a_column(new_project: New, orders: pd.DataFrame) -> None:
    """Parquet files of pandas keep an index beside the columns: named, it belongs to the table."""
    project = new_project()
    orders.set_index("ordered_at").to_parquet(project.root / "data" / "orders.parquet")
    assert load(project).frame["ordered_at"].tolist() == orders["ordered_at"].tolist()


def test_a_name_given_twice_is_refused(new_project: New) -> None:
    """Of two columns of one name nobody knows which is meant."""
    project = new_project(spec=("orders.parquet", "rows.csv"))
    (project.root / "data" / "rows.csv").write_text("amount,amount,ordered_at\n1,2,2026-01-01\n")
    with pytest.raises(DataContractError, match="two columns of the same name"):
        load(project)


def test_the_time_may_be_called_self(new_project: New, orders: pd.DataFrame) -> None:
    """No name of a column is taken by pandas."""
    project = new_project(
        spec=("time: ordered_at", "time: self"),
        schema=("    ordered_at:", "    self:"),
        table=orders.rename(columns={"ordered_at": "self"}),
    )
    assert load(project).frame["self"].tolist() == orders["ordered_at"].tolist()


def test_a_window_includes_its_beginning_only(project: Project) -> None:
    """Rows with since ≤ time < until are read."""
    table = load(project, since=day(2), until=day(3))
    assert table.frame["ordered_at"].min() == pd.Timestamp(day(2))
    assert len(table.frame) == 24
    assert table.window == (day(2), day(3))


def test_the_window_of_the_spec_is_the_default(new_project: New) -> None:
    """`data.window` applies where the caller says nothing; each end on its own."""
    project = new_project(spec=("orders.parquet}", "orders.parquet}\n  window: {from: 2026-01-02, until: 2026-01-04}"))
    assert len(load(project).frame) == 48
    assert len(load(project, until=day(3)).frame) == 24


def test_moments_without_a_zone_are_utc(new_project: New, orders: pd.DataFrame) -> None:
    """Naive timestamps and naive texts are taken as UTC."""
    naive = orders.assign(ordered_at=orders["ordered_at"].dt.tz_localize(None))
    assert load(new_project(table=naive)).frame["ordered_at"].tolist() == orders["ordered_at"].tolist()
    texts = orders.assign(ordered_at=naive["ordered_at"].astype(str))
    assert load(new_project(table=texts)).frame["ordered_at"].tolist() == orders["ordered_at"].tolist()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("order_id,ordered_at\n", "holds no rows"),
        ("order_id,items\n1,2\n", "no column ordered_at"),
        ("order_id,ordered_at\na,2026-01-01\nb,soon\n", r"row 1 \('soon'\)"),
        ("order_id,ordered_at\na,2026-01-01\nb,\n", r"row 1 \(missing\)"),
        ("order_id,ordered_at\na,1767225600\n", "holds numbers, not moments"),
        ('a,"b\n1,2\n', "cannot be read as csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(new_project: New, content: str, words: str) -> None:
    """Empty files, missing columns and moments that do not parse are named."""
    project = new_project(spec=("orders.parquet", "orders.csv"))
    (project.root / "data" / "orders.csv").write_text(content)
    with pytest.raises(DataContractError, match=words):
        load(project)


def test_bytes_that_are_no_parquet_are_refused(project: Project) -> None:
    """A damaged Parquet file is named."""
    (project.root / "data" / "orders.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataContractError, match=r"orders\.parquet cannot be read as parquet"):
        load(project)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"order_id": "b", "amount": {"eur": 3}}', "line 2, field amount is an object"),
        ('{"order_id": ["b"]}', "line 2, field order_id is a list"),
        ('["b", 3]', "line 2 is no object"),
        ('{"order_id": "b"', "line 2 is no JSON"),
    ],
)
def test_json_lines_that_are_no_rows_are_named(new_project: New, line: str, words: str) -> None:
    """Nested values, lines that are no objects, and no JSON: each with file, line and field."""
    project = new_project(spec=("orders.parquet", "orders.jsonl"))
    (project.root / "data" / "orders.jsonl").write_text('{"order_id": "a", "note": {"not": "asked for"}}\n' + line)
    with pytest.raises(DataContractError, match=rf"orders\.jsonl, {words}"):
        load(project)


def test_packed_files_that_cannot_be_read_are_told(new_project: New) -> None:
    """Bytes that gzip did not write, and packers that are not read."""
    project = new_project(spec=("orders.parquet", "orders.csv.gz"))
    (project.root / "data" / "orders.csv.gz").write_text("order_id\n")
    with pytest.raises(DataContractError, match=r"cannot be read as csv\.gz"):
        load(project)
    (project.root / "data" / "orders.csv.zst").write_text("order_id\n")
    project = new_project(spec=("orders.parquet", "orders.csv.zst"))
    with pytest.raises(DataContractError) as told:
        load(project)
    assert "those by gzip are read" in told.value.hint


def test_what_is_not_there_is_named(new_project: New) -> None:
    """A missing file, an empty folder and an unknown format are told apart."""
    with pytest.raises(NotFoundError, match=r"no data at data/order\.parquet"):
        load(new_project(spec=("orders.parquet", "order.parquet")))
    project = new_project(spec=("data/orders.parquet", "nothing"))
    (project.root / "nothing").mkdir()
    with pytest.raises(NotFoundError, match="holds no data"):
        load(project)
    project = new_project(spec=("data/orders.parquet", "model.yaml"))
    with pytest.raises(DataContractError, match="of no kind that can be read"):
        load(project)


def test_an_empty_window_is_refused(project: Project) -> None:
    """A window without rows says from when to when there are any."""
    with pytest.raises(DataContractError, match="reaches from 2026-01-01"):
        load(project, since=datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidFileError, match="ends before it begins"):
        load(project, since=day(3), until=day(2))
    timeless = Project(project.root, project.spec.model_copy(update={"time": None}))
    with pytest.raises(InvalidFileError, match="no time column"):
        load(timeless, since=day(3))


def test_the_digest_is_of_the_rows_that_were_read(new_project: New, orders: pd.DataFrame) -> None:
    """Growing the file outside the window keeps the digest; a changed value within changes it."""
    first = load(new_project(table=orders.iloc[:800]), until=day(20)).digest
    assert load(new_project(), until=day(20)).digest == first
    assert load(new_project(), until=day(21)).digest != first
    changed = orders.assign(items=orders["items"].where(orders.index != 3, 49))
    assert load(new_project(table=changed), until=day(20)).digest != first


@pytest.mark.parametrize("name", ["orders.parquet", "orders.csv", "orders.jsonl"])
def test_files_are_read_in_pieces_and_by_column(
    new_project: New, orders: pd.DataFrame, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the schema's columns are read, and pieces of any size give the same rows, types and digest."""
    project = new_project(spec=("orders.parquet", name), table=orders)
    write(orders.assign(diary="dear reader"), project.root / "data" / name)
    whole = load(project)
    assert "diary" not in whole.frame
    assert "diary" in whole.available
    for reader in (json_lines, separated):
        monkeypatch.setattr(reader, "BATCH_ROWS", 11)
    pieces = load(project)
    assert pieces.digest == whole.digest
    assert pieces.frame.dtypes.equals(whole.frame.dtypes)


def test_a_schema_that_asks_about_other_columns_sees_them(new_project: New, orders: pd.DataFrame) -> None:
    """A strict schema refuses what it does not know, so the whole table is read for it."""
    strict = "    returned: bool\n\n    class Config:\n        strict = True\n"
    project = new_project(schema=("    returned: bool\n", strict), table=orders.assign(diary="dear reader"))
    assert "diary" in load(project).frame


def test_parquet_outside_the_window_stays_on_the_disk(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter goes down to the file, for moments with a zone and without one."""
    path = project.root / "data" / "orders.parquet"
    frame = pd.read_parquet(path)
    read: list[int] = []
    real = files._as_pandas

    def counting(table: object) -> pd.DataFrame:
        found = real(table)
        read.append(len(found))
        return found

    monkeypatch.setattr(files, "_as_pandas", counting)
    for moments in (frame["ordered_at"], frame["ordered_at"].dt.tz_localize(None)):
        frame.assign(ordered_at=moments).to_parquet(path, index=False)
        read.clear()
        assert len(load(project, since=day(2), until=day(3)).frame) == 24
        assert sum(read) == 24


def test_rows_that_take_too_much_memory_are_refused(new_project: New) -> None:
    """Reading stops at the owner's limit; what rows take is reported."""
    assert load(new_project()).memory_bytes > 10_000
    small = new_project(spec=("orders.parquet}", "orders.parquet}\n  memory: 0.01MB"))
    with pytest.raises(DataContractError, match=r"more than 0 MB in memory"):
        load(small)
    window = load(small, since=day(2), until=day(2, 6))
    assert len(window.frame) == 6


def test_every_file_is_remembered_by_its_digest(project: Project) -> None:
    """The inputs say which bytes were read."""
    (found,) = load(project).inputs
    path = project.root / "data" / "orders.parquet"
    assert (found.uri, found.size_bytes) == ("data/orders.parquet", path.stat().st_size)
    assert found.digest == "sha256:" + sha256(path.read_bytes()).hexdigest()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=6), st.data())
def test_different_texts_have_different_digests(texts: list[str | None], data: st.DataObject) -> None:
    """No two lists of texts share a digest, wherever the borders between them lie."""
    other = data.draw(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=6))
    same = digest_frame(pd.DataFrame({"a": pd.Series(texts, dtype=object)})) == digest_frame(
        pd.DataFrame({"a": pd.Series(other, dtype=object)})
    )
    assert same == (texts == other)


def test_moments_beyond_nanoseconds_have_a_digest() -> None:
    """9999-12-31 does not fit 64 bits of nanoseconds; two such tables still differ by it, and others keep theirs."""
    far, near = (
        pd.DataFrame({"a": pd.to_datetime(pd.Series([day]), utc=True)}) for day in ("9999-12-31", "2026-01-01")
    )
    assert digest_frame(far) != digest_frame(far - pd.Timedelta(days=1))
    assert digest_frame(near) == "sha256:e0c88aec4834950207b9b616ea86319175787be19a56feb9fb3cda1e9ac5dd10"
