"""The ledger's index: it answers what reading every line would answer, and is thrown away when in doubt."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_gitops.delivery import lines as module
from towpath_gitops.delivery.entries import START, Entry, Event, Fact, Place, parse_lines
from towpath_gitops.delivery.lines import BrokenChainError, Lines, Source
from towpath_gitops.records.base import digest_bytes, digest_of
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = "order by seq desc limit 1"


def chain(facts: Sequence[tuple[Event, str, Verdict | None]]) -> list[Entry]:
    """Return a chain of events of the models and verdicts given."""
    entries: list[Entry] = []
    for number, (event, model, verdict) in enumerate(facts):
        fact = Fact(
            time=BEGAN + timedelta(hours=number),
            event=event,
            environment="staging",
            model=model,
            release=digest_of(number % 3),
            commit=f"{number:040x}",
            change=ChangeType.PROMOTE,
            verdict=verdict,
        )
        entries.append(Entry.following(entries[-1] if entries else None, fact))
    return entries


def source(entries: Sequence[Entry], reads: list[str] | None = None) -> Source:
    """Return a ledger file with these entries, named by its bytes as git does it; `reads` learns when it is read."""
    data = b"".join(entry.line() for entry in entries)

    def read() -> bytes:
        if reads is not None:
            reads.append("read")
        return data

    return Source("staging", digest_bytes(data), read)


APPLIED = (Event.APPLIED, "flights", None)
GREEN = (Event.VERIFIED, "flights", Verdict.PASS)

happenings = st.lists(
    st.tuples(
        st.sampled_from([Event.APPLIED, Event.VERIFIED, Event.SUPERSEDED]),
        st.sampled_from(["flights", "trains"]),
        st.sampled_from([None, *Verdict]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)  # the machine may be busy
@given(happenings, st.integers(0, 12))
def test_grown_in_two_steps_it_answers_as_if_every_line_were_read(
    facts: list[tuple[Event, str, Verdict | None]], cut: int
) -> None:
    """Whatever was written, and wherever it was looked at in between."""
    entries = chain(facts)
    with TemporaryDirectory() as folder:
        index = Lines(Path(folder))
        index.find(source(entries[:cut]), "true", ())
        found = index.find(source(entries), "model = ? and event = ?", ("flights", Event.VERIFIED), rest="order by seq")
        newest = index.find(source(entries), "model = ?", ("trains",), rest=NEWEST)
    assert found == [entry for entry in entries if (entry.model, entry.event) == ("flights", Event.VERIFIED)]
    assert newest == [entry for entry in entries if entry.model == "trains"][-1:]


def test_a_file_that_was_read_before_is_not_read_again(tmp_path: Path) -> None:
    """Not by the next process either: git's hash says that it is the same."""
    reads: list[str] = []
    for _ in range(3):
        Lines(tmp_path).find(source(chain([APPLIED, GREEN]), reads), "true", ())
    assert reads == ["read"]


def test_of_a_file_that_has_grown_only_the_new_lines_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginning is compared with the digest that was checked before."""
    entries = chain([APPLIED, GREEN, APPLIED])
    Lines(tmp_path).find(source(entries[:2]), "true", ())
    seen: list[tuple[bytes, Place]] = []

    def parsing(data: bytes, environment: str, after: Place = START) -> object:
        seen.append((data, after))
        return parse_lines(data, environment, after)

    monkeypatch.setattr(module, "parse_lines", parsing)
    assert Lines(tmp_path).find(source(entries), "true", (), rest="order by seq") == entries
    assert seen == [(entries[2].line(), Place(2, entries[1].hash))]


def test_a_file_with_another_beginning_is_read_from_the_start(tmp_path: Path) -> None:
    """A ledger that was rewritten leaves nothing of the one before."""
    Lines(tmp_path).find(source(chain([APPLIED, GREEN, GREEN])), "true", ())
    other = chain([GREEN, APPLIED])
    assert Lines(tmp_path).find(source(other), "true", (), rest="order by seq") == other


def test_new_lines_that_do_not_hold_are_refused_and_not_kept(tmp_path: Path) -> None:
    """The index never learns what the chain does not carry."""
    entries = chain([APPLIED, GREEN, GREEN])
    index = Lines(tmp_path)
    index.find(source(entries[:1]), "true", ())
    with pytest.raises(BrokenChainError):
        index.find(source([entries[0], entries[2]]), "true", ())
    assert index.find(source(entries), "true", (), rest="order by seq") == entries


def _scribble(path: Path) -> None:
    path.write_bytes(b"no database")


def _edit_a_line(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("update line set text = replace(text, 'pass', 'fail')")
    database.close()


def _another_version(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("pragma user_version = 99")
    database.close()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [_scribble, _edit_a_line, _another_version, _folder, Path.unlink])
def test_an_index_that_cannot_be_used_is_made_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Damaged, edited, of another version, in the way of itself or gone: the file in git is what counts."""
    entries = chain([APPLIED, GREEN])
    index = Lines(tmp_path)
    index.find(source(entries), "true", ())
    harm(index.path)
    for _ in range(2):
        assert index.find(source(entries), "true", (), rest="order by seq") == entries


def test_while_another_process_writes_the_answer_comes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is held too long costs time, never an answer."""
    monkeypatch.setattr(module, "_BUSY_S", 0.0)
    entries = chain([APPLIED, GREEN])
    index = Lines(tmp_path)
    index.find(source(entries[:1]), "true", ())
    other = sqlite3.connect(index.path, isolation_level=None)
    other.execute("begin exclusive")
    assert index.find(source(entries), "true", (), rest="order by seq") == entries
    other.close()
