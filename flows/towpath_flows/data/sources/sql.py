"""A query or a table of a database that SQLAlchemy reaches, read as a stream and never written to."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from towpath_flows.data.sources.base import BATCH_ROWS, Input, Part, Request, at_utc, missing
from towpath_flows.data_spec import SqlSource
from towpath_gitops.errors import DataContractError, InvalidFileError, NotFoundError, UnavailableError
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.redaction import redacted

if TYPE_CHECKING:
    import sqlalchemy as sa

_ALIAS: Final = "towpath_rows"
_SHOWN: Final = 80  # characters of a query by which people know it


def describe(spec: SqlSource) -> str:
    """Return the beginning of the query."""
    query = " ".join(spec.sql.split())
    return f"sql: {query[:_SHOWN]}{'…' if len(query) > _SHOWN else ''}"


def read(spec: SqlSource, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:
    """Yield the query's rows in pages, sorted by time and then by every other column; see the base's `Source`.

    Sorted, because a database gives the same rows in another order next time, which would be other data. The window is
    asked of the database where the time is a moment there, not a text.

    Raises:
        NotFoundError: the variable, the block or the SQLite file is not there.
        DataContractError: the database refuses the query.
        UnavailableError: it does not answer.
    """
    try:
        import sqlalchemy as sa  # noqa: PLC0415 (heavy)
    except ImportError as error:
        raise missing("SQLAlchemy", "sql", error) from error
    name, url = describe(spec), _url(_address(spec))
    engine = _engine(url, request)
    with _asking(name), engine.connect() as connection:
        available = _columns(sa, connection, spec.sql)
        query = _query(sa, connection, spec.sql, available, request)
        streamed = connection.execution_options(stream_results=True, max_row_buffer=BATCH_ROWS).execute(query)
        columns, start, found = list(streamed.keys()), 0, False
        for page in streamed.partitions(BATCH_ROWS):
            index = pd.RangeIndex(start, start + len(page))
            start, found = start + len(page), True
            yield Part(name, pd.DataFrame.from_records(page, columns=columns, index=index), available)
        if not found:
            yield Part(name, pd.DataFrame(columns=columns), available)
    engine.dispose()
    place = sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
    note(Input(place, digest_bytes(spec.sql.encode())))


def _address(spec: SqlSource) -> str:
    if spec.url is not None:
        return spec.url
    if spec.env is not None:
        if not os.environ.get(spec.env):
            raise NotFoundError(
                f"The environment variable {spec.env} is not set",
                why="model.yaml says that it holds the database's address.",
                hint=f"Set it: export {spec.env}=postgresql+psycopg://user:password@host/database",
            )
        return os.environ[spec.env]
    from prefect.blocks.system import Secret  # noqa: PLC0415 (heavy)

    try:
        return str(Secret.load(spec.secret or "").get())  # type: ignore[union-attr]  # a block where nobody awaits it
    except ValueError as error:
        raise NotFoundError(
            f"Prefect has no block {spec.secret} of type Secret", why="model.yaml names it under data.train.secret."
        ) from error


def _url(address: str) -> "sa.URL":
    import sqlalchemy as sa  # noqa: PLC0415 (heavy)

    try:
        return sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InvalidFileError(
            "The address of the database is none", hint="Write dialect+driver://user@host/database."
        ) from error


def _engine(url: "sa.URL", request: Request) -> "sa.Engine":
    """Return an engine that can only read, where the database knows how."""
    import sqlalchemy as sa  # noqa: PLC0415 (heavy)

    if url.get_backend_name() == "sqlite":
        path = request.root / (url.database or "")
        if not path.is_file():
            raise NotFoundError(f"There is no SQLite database at {url.database}", why="model.yaml names it.")
        url = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise InvalidFileError(
            f"No driver reads {url.drivername}",
            why=redacted(str(error)),
            hint="pip install 'towpath[sql]' and write postgresql+psycopg://… for PostgreSQL.",
        ) from error
    if url.get_backend_name() == "postgresql":
        engine = engine.execution_options(postgresql_readonly=True)
    return engine


def _rows(sa: Any, query: str) -> Any:  # noqa: ANN401 (SQLAlchemy, as it is imported late)
    """Return what to select from: the table of that name, or the query as a table."""
    if query.strip().replace(".", "").replace("_", "").isalnum():
        *schema, table = query.strip().split(".")
        return sa.table(table, schema=schema[0] if schema else None)
    return sa.text(f"({query.strip().rstrip(';')}) AS {_ALIAS}")


def _columns(sa: Any, connection: "sa.Connection", query: str) -> tuple[str, ...]:  # noqa: ANN401 (as above)
    statement = sa.select(sa.text("*")).select_from(_rows(sa, query)).limit(0)
    return tuple(connection.execute(statement).keys())


def _query(sa: Any, connection: Any, query: str, available: Sequence[str], request: Request) -> Any:  # noqa: ANN401 (as above)
    columns = {name: sa.column(name) for name in request.chosen(available)}
    rows = _rows(sa, query)
    statement = sa.select(*columns.values()).select_from(rows)
    order = sorted(columns, key=lambda name: name != request.time)
    if request.time in columns and (request.since or request.until):
        moment = columns[request.time]
        first = sa.select(moment).select_from(rows).where(moment.is_not(None)).limit(1)
        like = connection.execute(first).scalar()
        if isinstance(like, datetime):  # a text or a day is left to the reader
            since, until = (at_utc(end, like=like) for end in (request.since, request.until))
            statement = statement if since is None else statement.where(moment >= since)
            statement = statement if until is None else statement.where(moment < until)
    return statement.order_by(*(columns[name] for name in order))


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Turn what SQLAlchemy raises into what is told: a query that cannot be, or a database that is away."""
    import sqlalchemy as sa  # noqa: PLC0415 (heavy)

    try:
        yield
    except sa.exc.OperationalError as error:
        if error.statement is None:
            raise UnavailableError(
                f"The database of {name} does not answer", why=_words(error), hint="Is it running? Then try again."
            ) from error
        raise DataContractError(f"The database refuses the query {name}", why=_words(error)) from error
    except sa.exc.SQLAlchemyError as error:
        raise DataContractError(f"The database refuses the query {name}", why=_words(error)) from error


def _words(error: Exception) -> str:
    return redacted(str(getattr(error, "orig", None) or error).strip().partition("\n")[0])[:300]
