"""Joins over files by DuckDB: as a table, within the window, and shut in."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from towpath_flows.data import load, validate
from towpath_flows.data.sources import duckdb
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, InvalidFileError, NotFoundError

JOIN = "select o.* exclude (seller), s.seller from orders o join sellers s using (order_id)"


@pytest.fixture
def joined(new_project: Callable[..., Project], orders: pd.DataFrame) -> Callable[[str], Project]:
    """Return a function that makes a repository whose rows a query over two files gives."""

    def build(query: str = JOIN) -> Project:
        files = "{orders: data/orders.parquet, sellers: data/sellers.csv}"
        source = f'{{duckdb: "{query}", files: {files}}}'
        project = new_project(spec=("{file: data/orders.parquet}", source))
        orders[["order_id", "seller"]].to_csv(project.root / "data" / "sellers.csv", index=False)
        return project

    return build


def test_a_join_is_a_table(joined: Callable[[str], Project], orders: pd.DataFrame) -> None:
    """Its rows fit the schema, come in the order of time, and have the same digest in pages of any size."""
    project = joined(JOIN)
    table = load(project)
    frame = validate(project, table).frame
    assert frame["order_id"].tolist() == orders["order_id"].tolist()
    assert frame["seller"].tolist() == orders["seller"].tolist()
    assert [each.uri for each in table.inputs] == ["data/orders.parquet", "data/sellers.csv"]
    assert all(each.size_bytes for each in table.inputs)


def test_pages_make_no_difference(joined: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages give the same rows and the same digest."""
    project = joined(JOIN)
    whole = load(project).digest
    monkeypatch.setattr(duckdb, "BATCH_ROWS", 100)
    assert load(project).digest == whole


def test_only_the_window_is_read(joined: Callable[[str], Project]) -> None:
    """Rows with since ≤ time < until; where there are none, it is said where there are some."""
    project = joined(JOIN)
    table = load(project, since=datetime(2026, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 3, tzinfo=UTC))
    assert len(table.frame) == 24
    with pytest.raises(DataContractError, match="reaches from 2026-01-01"):
        load(project, since=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{secret}')",
        "select * from '{secret}'",
        "copy orders to '{secret}.csv'",
        "install httpfs",
        "set enable_external_access = true",
        "select * from order_items",
        "this is no query",
    ],
)
def test_a_query_reaches_nothing_but_its_files(joined: Callable[[str], Project], tmp_path: Path, query: str) -> None:
    """Other files, the network and settings are out of reach, and mistakes are told."""
    secret = tmp_path / "secret.csv"
    secret.write_text("order_id\nx\n")
    with pytest.raises(DataContractError, match=r"(is no query|refuses the query)"):
        load(joined(query.format(secret=secret)))
    assert not (tmp_path / "secret.csv.csv").exists()


def test_a_file_is_read_as_it_is_written(joined: Callable[[str], Project], orders: pd.DataFrame) -> None:
    """Separator, letters, decimal commas, marks for missing: as for a source of files, by the file's name."""
    query = "select o.* exclude (seller, amount), s.seller, s.amount from orders o join sellers s using (order_id)"
    project = joined(query)
    sellers = orders[["order_id", "seller"]].assign(seller="Göteborg; Å", amount=orders["amount"].round(2))
    path = project.root / "data" / "sellers.csv"
    sellers.to_csv(path, sep=";", decimal=",", na_rep="k.A.", index=False, encoding="cp1252")
    text = (project.root / "model.yaml").read_text()
    dialect = '{separator: ";", encoding: cp1252, decimal: ",", missing: [k.A.]}'
    (project.root / "model.yaml").write_text(
        text.replace("sellers.csv}}", f"sellers.csv}}, csv: {{sellers: {dialect}}}}}")
    )
    frame = validate(Project.open(project.root), load(Project.open(project.root))).frame
    assert set(frame["seller"]) == {"Göteborg; Å"}
    pd.testing.assert_series_equal(frame["amount"], sellers["amount"])


@pytest.mark.usefixtures("aws_environment", "bucket")
def test_files_in_a_bucket_are_joined(joined: Callable[[str], Project], orders: pd.DataFrame) -> None:
    """Objects are fetched first, so that the query still reaches nothing; what was read is called by its address."""
    project = joined(JOIN)
    text = (project.root / "model.yaml").read_text()
    (project.root / "model.yaml").write_text(
        text.replace("orders: data/orders.parquet", "orders: s3://towpath-orders/parts/")
    )
    table = load(Project.open(project.root))
    assert table.frame["order_id"].tolist() == orders["order_id"].tolist()
    addresses = [each.uri for each in table.inputs]
    assert [uri.startswith("s3://towpath-orders/parts/") for uri in addresses] == [True, True, False]
    assert not [path for path in (project.root / ".towpath" / "incoming").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("files", "csv", "words"),
    [
        ("{o: http://example.org/o.csv}", "{}", "is no file"),
        ("{o: data/o.csv}", "{p: {separator: tab}}", "csv names p"),
        ("{o: data/o.csv}", '{o: {dates: {d: "%d.%m.%Y"}}}', "strptime"),
    ],
)
def test_what_cannot_be_read_so_is_refused(
    new_project: Callable[..., Project], files: str, csv: str, words: str
) -> None:
    """Before anything is opened."""
    source = f'{{duckdb: "select * from o", files: {files}, csv: {csv}}}'  # noqa: S608 (a test's own text)
    with pytest.raises(InvalidFileError, match=words):
        new_project(spec=("{file: data/orders.parquet}", source))


def test_a_missing_file_is_named(joined: Callable[[str], Project]) -> None:
    """As for a source of files."""
    project = joined(JOIN)
    (project.root / "data" / "sellers.csv").unlink()
    with pytest.raises(NotFoundError, match=r"no data at data/sellers\.csv"):
        load(project)
