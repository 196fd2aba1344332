"""Rows of databases: SQLite, and a PostgreSQL that the tests start themselves."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from towpath_flows.data import load, validate
from towpath_flows.data.sources import sql
from towpath_flows.data_spec import SqlSource
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, InvalidFileError, NotFoundError, UnavailableError

New = Callable[..., Project]
SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC)


def by(new_project: New, source: str) -> Project:
    """Return the shop's repository with its orders in a database."""
    return new_project(spec=("{file: data/orders.parquet}", source))


# --- SQLite -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqlite(new_project: New, orders: pd.DataFrame) -> Project:
    """Return a repository whose orders are in data/shop.db."""
    project = by(new_project, '{sql: orders, url: "sqlite:///data/shop.db"}')
    engine = sa.create_engine(f"sqlite:///{project.root / 'data' / 'shop.db'}")
    orders.assign(secret="no business of the model").to_sql("orders", engine, index=False)  # noqa: S106 (a column)
    engine.dispose()
    return project


def test_a_table_of_sqlite_is_read(sqlite: Project, orders: pd.DataFrame) -> None:
    """All rows come in the order of their time, and only the schema's columns."""
    table = load(sqlite)
    assert set(table.frame) == set(orders)
    assert table.frame["order_id"].tolist() == orders["order_id"].tolist()
    assert "secret" in table.available
    assert len(validate(sqlite, table).frame) == len(orders)
    assert [each.uri for each in table.inputs] == ["sqlite:///data/shop.db"]


def test_a_window_of_sqlite_holds_though_its_moments_are_texts(sqlite: Project) -> None:
    """What the database cannot compare is compared as it is read."""
    assert len(load(sqlite, since=SINCE, until=UNTIL).frame) == 48


def test_pages_make_no_difference(sqlite: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small pages give the same rows and the same digest as one."""
    whole = load(sqlite)
    monkeypatch.setattr(sql, "BATCH_ROWS", 7)
    assert load(sqlite).digest == whole.digest


def test_a_query_is_read_as_a_table(new_project: New, sqlite: Project) -> None:
    """A query of the owner's may join and filter."""
    query = "select * from orders where country = 'DE'; "
    project = by(new_project, f'{{sql: "{query}", url: "sqlite:///data/shop.db"}}')
    assert set(load(project).frame["country"]) == {"DE"}
    assert project.root == sqlite.root


def test_nothing_can_be_written(new_project: New, sqlite: Project) -> None:
    """A query that is none is refused, and the database is as it was."""
    before = (sqlite.root / "data" / "shop.db").read_bytes()
    project = by(new_project, '{sql: "delete from orders returning *", url: "sqlite:///data/shop.db"}')
    with pytest.raises(DataContractError, match="refuses the query"):
        load(project)
    assert (sqlite.root / "data" / "shop.db").read_bytes() == before


def test_what_is_not_there_is_named(new_project: New, sqlite: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing database, table, variable and driver are told apart; no empty database is made by asking."""
    with pytest.raises(NotFoundError, match="no SQLite database at data/shops"):
        load(by(new_project, '{sql: orders, url: "sqlite:///data/shops.db"}'))
    assert not (sqlite.root / "data" / "shops.db").exists()
    with pytest.raises(DataContractError, match="no such table"):
        load(by(new_project, '{sql: order, url: "sqlite:///data/shop.db"}'))
    monkeypatch.delenv("WAREHOUSE", raising=False)
    with pytest.raises(NotFoundError, match="WAREHOUSE is not set"):
        load(by(new_project, "{sql: orders, env: WAREHOUSE}"))
    monkeypatch.setenv("WAREHOUSE", "oracle+nodriver://somebody:hush-hush@host/db")
    with pytest.raises(InvalidFileError, match="No driver reads") as caught:
        load(by(new_project, "{sql: orders, env: WAREHOUSE}"))
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@host/db",
        "postgresql://ada:@host/db",
        "postgresql://host/db?user=ada&password=secret",
        "mysql://host/db?PASSWD=",
        "postgresql://[broken/db",
    ],
)
def test_a_password_in_model_yaml_is_refused(url: str) -> None:
    """Whatever form it has: git would keep it for ever."""
    with pytest.raises(ValidationError, match="holds a password"):
        SqlSource(sql="orders", url=url)


def test_one_place_is_named() -> None:
    """Neither none nor two addresses."""
    for places in ({}, {"url": "sqlite:///a.db", "env": "A"}):
        with pytest.raises(ValidationError, match="one of url, env and secret"):
            SqlSource.model_validate({"sql": "orders", **places})


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


def programs() -> Path | None:
    """Return the folder of PostgreSQL's own programs, the newest there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    path = shutil.which("initdb")
    places = [*found, *([Path(path).resolve().parent] if path else [])]
    return next((place for place in reversed(places) if (place / "pg_ctl").exists()), None)


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a program; PostgreSQL refuses to run as root, so root becomes nobody for it."""
    user = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.getuid() == 0 else {}
    subprocess.run(  # type: ignore[call-overload]  # what is known about users is known at run time
        [str(part) for part in command],
        check=True,
        cwd="/",
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a PostgreSQL of one's own, with a password, on a free port."""
    place = programs()
    if place is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on this machine: install its server package")
    base = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    try:
        if os.getuid() == 0:
            shutil.chown(base, "nobody", "nogroup")
        data, word = base / "data", tmp_path_factory.mktemp("word") / "password"
        word = base / "password"
        word.write_text("open-sesame\n")
        word.chmod(0o644)
        _run(place / "initdb", "-D", data, "-U", "ada", "--auth=scram-sha-256", f"--pwfile={word}", "--no-sync")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        options = f"-p {port} -k {base} -c listen_addresses=127.0.0.1 -c fsync=off"
        _run(place / "pg_ctl", "-D", data, "-o", options, "-l", base / "log", "-w", "start")
        try:
            yield f"postgresql+psycopg://ada:open-sesame@127.0.0.1:{port}/postgres"
        finally:
            _run(place / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def filled(postgres: str, orders: pd.DataFrame) -> str:
    """Return the address of a PostgreSQL that holds the orders, in no order, with moments that have a zone."""
    engine = sa.create_engine(postgres)
    orders.sample(frac=1, random_state=1).to_sql("orders", engine, index=False)
    orders.assign(ordered_at=orders["ordered_at"].dt.tz_localize(None)).to_sql("naive", engine, index=False)
    engine.dispose()
    return postgres


def test_postgresql_is_read(
    new_project: New, filled: str, orders: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are those of the file, in the order of time; the password comes from the environment and stays there."""
    monkeypatch.setenv("WAREHOUSE_URL", filled)
    project = by(new_project, "{sql: select * from orders, env: WAREHOUSE_URL}")
    table = load(project)
    frame = validate(project, table).frame
    assert frame["order_id"].tolist() == orders["order_id"].tolist()
    assert frame["amount"].round(6).equals(orders["amount"].round(6))
    assert "open-sesame" not in repr(table)
    assert table.digest == load(project).digest


@pytest.mark.parametrize("table", ["orders", "naive"])
def test_postgresql_is_asked_for_the_window_only(
    new_project: New, filled: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows outside of it do not even leave the database, whether its moments have a zone or not."""
    monkeypatch.setenv("WAREHOUSE_URL", filled)
    project = by(new_project, f"{{sql: {table}, env: WAREHOUSE_URL}}")
    sent: list[int] = []
    real = sql.read

    def counting(*arguments: object) -> Iterator[object]:
        for part in real(*arguments):  # type: ignore[arg-type]  # handed on as they are
            sent.append(len(part.frame))
            yield part

    monkeypatch.setattr(sql, "read", counting)
    assert len(load(project, since=SINCE, until=UNTIL).frame) == 48
    assert sum(sent) == 48


def test_a_transaction_of_postgresql_cannot_write(
    new_project: New, filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that writes is refused by the database itself."""
    monkeypatch.setenv("WAREHOUSE_URL", filled)
    with pytest.raises(DataContractError, match="refuses") as caught:
        load(by(new_project, "{sql: \"select nextval('a') as order_id\", env: WAREHOUSE_URL}"))
    assert "nextval" in str(caught.value)


def test_a_database_that_is_away_may_come_back(
    new_project: New, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer and a wrong password are worth a second try or a look; the address is told without its secret."""
    for address in (postgres.replace("127.0.0.1:", "127.0.0.1:1"), postgres.replace("open-sesame", "wrong-words")):
        monkeypatch.setenv("WAREHOUSE_URL", address)
        with pytest.raises(UnavailableError, match="does not answer") as caught:
            load(by(new_project, "{sql: orders, env: WAREHOUSE_URL}"))
        assert "wrong-words" not in str(caught.value)
