"""The ledger's lines, by what is asked of them: an index that is derived, and made anew whenever it is in doubt.

It lies in a SQLite file of this clone's local state. A ledger file that was read before is recognised by its git hash
and not read again; one that has grown is believed as far as its beginning has the very length and SHA-256 that were
checked before, and only its new lines are parsed. Where the file cannot be used, the same index is made in memory.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from towpath_gitops import layout
from towpath_gitops.delivery.entries import START, Entry, Place, Problem, parse_lines, whole
from towpath_gitops.records.base import digest_bytes

_BUSY_S: Final = 5.0  # another process of ours writes for milliseconds
_VERSION: Final = 1  # of the tables below: others are dropped
_TABLES: Final = """
create table file (environment text primary key, blob text, length integer, sha256 text, seq integer, hash text);
create table line (
  environment text, seq integer, model text, event text, release text, commit_sha text, verdict text, serving text,
  answers text, text blob, primary key (environment, seq)
) without rowid;
create index line_by_event on line (environment, model, event, release, seq);
create index line_by_commit on line (environment, model, commit_sha);
"""


class Source(NamedTuple):
    """One ledger file as git knows it."""

    environment: str
    blob: str  # git's hash of its bytes
    read: Callable[[], bytes]


class _File(NamedTuple):
    blob: str
    length: int
    sha256: str
    place: Place


class BrokenChainError(Exception):
    """The file's lines do not hold; not for users: the ledger says it in its own words."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Carry what is wrong."""
        super().__init__()
        self.problems = problems


class Lines:
    """The checked lines of the ledger files of one clone."""

    def __init__(self, root: Path) -> None:
        """Prepare an index in the local state of the repository at `root`; nothing is opened yet."""
        self.path = layout.state(root, "ledger.db")

    def find(self, source: Source, where: str, values: Sequence[object], *, rest: str = "") -> list[Entry]:
        """Return the entries of a file for which the SQL condition `where` holds, with `rest` (order, limit) after it.

        Raises:
            BrokenChainError: the file's chain does not hold.
        """
        query = f"select text from line where environment = ? and {where} {rest}"  # noqa: S608 (all of it is ours; values are bound)
        bound = (source.environment, *values)
        try:
            with self._opened(str(self.path)) as database:
                return _ask(database, source, query, bound)
        except (sqlite3.OperationalError, OSError):  # busy, full, not to be written: it may be well again later
            pass
        except sqlite3.Error:
            self._forget()
        with self._opened(":memory:") as database:
            return _ask(database, source, query, bound)

    def _forget(self) -> None:
        """Remove a file that is damaged; whoever still has it open goes on with what they see."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, place: str) -> Iterator[sqlite3.Connection]:
        if place != ":memory:":
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(place, timeout=_BUSY_S, isolation_level=None)) as database:
            _prepare(database)
            yield database


def _prepare(database: sqlite3.Connection) -> None:
    if database.execute("pragma user_version").fetchone()[0] == _VERSION:
        return
    database.execute("begin immediate")
    if database.execute("pragma user_version").fetchone()[0] != _VERSION:
        for table in ("file", "line"):
            database.execute(f"drop table if exists {table}")
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        database.execute(f"pragma user_version = {_VERSION}")
    database.execute("commit")


def _ask(database: sqlite3.Connection, source: Source, query: str, values: Sequence[object]) -> list[Entry]:
    """Bring the index up to the file and ask, in one transaction: another process may follow another commit."""
    database.execute("begin")
    known = _known(database, source.environment)
    if known is None or known.blob != source.blob:
        database.execute("commit")
        database.execute("begin immediate")
        _follow(database, source)
    found = [_checked(text) for (text,) in database.execute(query, values)]
    database.execute("commit")
    return found


def _known(database: sqlite3.Connection, environment: str) -> _File | None:
    columns = "select blob, length, sha256, seq, hash from file where environment = ?"
    row = database.execute(columns, (environment,)).fetchone()
    return _File(row[0], row[1], row[2], Place(row[3], row[4])) if row else None


def _follow(database: sqlite3.Connection, source: Source) -> None:
    """Take in the lines that the file has beyond what was checked before, or all of it where its beginning differs."""
    data, known = source.read(), _known(database, source.environment)
    if known is None or digest_bytes(data[: known.length]) != known.sha256:
        database.execute("delete from line where environment = ?", (source.environment,))
        known = _File("", 0, "", START)
    entries, problems = parse_lines(data[known.length :], source.environment, known.place)
    if problems:
        raise BrokenChainError(problems)
    texts = data[known.length :].splitlines()  # as they were written, perhaps by an earlier version
    rows = [_row(source.environment, entry, text) for entry, text in zip(entries, texts, strict=True)]
    database.executemany("insert into line values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    place = Place(entries[-1].seq, entries[-1].hash) if entries else known.place
    facts = (source.environment, source.blob, len(data), digest_bytes(data), *place)
    database.execute("insert or replace into file values (?, ?, ?, ?, ?, ?)", facts)


def _row(environment: str, entry: Entry, text: bytes) -> tuple[object, ...]:
    what = (environment, entry.seq, entry.model, entry.event, entry.release, entry.commit)
    return (*what, entry.verdict, entry.serving, entry.answers, text)


def _checked(text: bytes) -> Entry:
    """Return the entry in a line that was stored, when the line still carries its own hash.

    Raises:
        sqlite3.DatabaseError: it was changed since it was checked; the index is worth nothing.
    """
    found = whole(text)
    if found is None:
        raise sqlite3.DatabaseError
    return found
