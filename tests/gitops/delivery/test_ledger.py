"""The ledger: chained, idempotent, audited against main."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_gitops.delivery.ledger import REF, SEEN, Entry, Event, Fact, Ledger, parse_lines
from towpath_gitops.delivery.served import served_at
from towpath_gitops.errors import LedgerError
from towpath_gitops.records.base import canonical_json, digest_of
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.repository import Repository

START = datetime(2026, 1, 1, tzinfo=UTC)
A, B = digest_of("a"), digest_of("b")


def fact(event: Event = Event.APPLIED, release: str = A, hours: float = 0, **fields: Any) -> Fact:  # noqa: ANN401 (any field)
    """Return a fact some hours after the beginning."""
    defaults = {"environment": "staging", "model": "flights", "commit": "c" * 40, "change": ChangeType.PROMOTE}
    return Fact(time=START + timedelta(hours=hours), event=event, release=release, **(defaults | fields))


def chain(count: int) -> list[Entry]:
    """Return a whole chain."""
    entries: list[Entry] = []
    for number in range(count):
        entries.append(Entry.following(entries[-1] if entries else None, fact(hours=number)))
    return entries


def verified(release: str, hours: float, verdict: Verdict = Verdict.PASS) -> Fact:
    """Return a verification, each of its own commit so that none repeats another."""
    return fact(Event.VERIFIED, release, hours, verdict=verdict, commit=f"{int(hours):040x}")


def applied(release: str, hours: float) -> Fact:
    """Return an application of its own commit."""
    return fact(Event.APPLIED, release, hours, commit=f"{int(hours):040x}")


def test_entries_come_back_as_they_were_written(ada: Repository) -> None:
    """What is appended is what every clone reads."""
    ledger = Ledger(ada)
    added = ledger.append(fact(reason="weekly", approved_by=("grace@example.org",)), verified(A, 1))
    assert ledger.entries("staging") == added
    assert [entry.seq for entry in added] == [1, 2]
    assert added[1].previous == added[0].hash
    assert ledger.environments() == ["staging"]


def test_the_ledger_has_no_ancestor_in_common_with_main(ada: Repository) -> None:
    """It is an orphan branch: nobody merges it by accident."""
    Ledger(ada).append(fact())
    tip = ada.tip(REF)
    assert tip
    assert ada.merge_base(tip, ada.main()) is None


def test_what_was_said_is_not_said_again(ada: Repository) -> None:
    """A repeated fact adds neither a line nor a commit."""
    ledger = Ledger(ada)
    ledger.append(fact(), verified(A, 0))
    tip = ada.tip(REF)
    assert ledger.append(fact(hours=1), fact(Event.VERIFIED, verdict=Verdict.PASS, hours=1, commit="0" * 40)) == []
    assert ada.tip(REF) == tip


@pytest.mark.parametrize(
    ("hours", "fields", "added"),
    [(1, {}, 0), (25, {}, 1), (1, {"verdict": Verdict.FAIL}, 1), (1, {"answers": B}, 1), (1, {"commit": "d" * 40}, 1)],
)
def test_a_verification_that_says_something_new_is_added(
    ada: Repository, hours: float, fields: dict[str, Any], added: int
) -> None:
    """Another verdict, other answers, another commit, or a day later."""
    first = {"verdict": Verdict.PASS, "answers": A}
    ledger = Ledger(ada)
    ledger.append(fact(Event.VERIFIED, **first))
    assert len(ledger.append(fact(Event.VERIFIED, hours=hours, **(first | fields)))) == added


def test_two_that_append_at_once_both_succeed(clone: Callable[[str], Repository], ada: Repository) -> None:
    """Who loses the compare-and-swap looks again and continues the other's chain."""
    repositories = [ada, clone("grace"), clone("linus")]
    facts = [fact(model=f"model-{number}", commit=f"{number:040x}") for number in range(3)]
    threads = [
        threading.Thread(target=Ledger(repository).append, args=(item,))
        for repository, item in zip(repositories, facts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ada.fetch()
    entries, problems = Ledger(ada).read("staging")
    assert ({entry.model for entry in entries}, problems) == ({"model-0", "model-1", "model-2"}, [])


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_any_edited_byte_is_found(data: st.DataObject) -> None:
    """Whatever single byte of a chain is replaced, the chain no longer holds."""
    text = bytearray(b"".join(entry.line() for entry in chain(3)))
    position = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[position]))
    text[position] = byte
    assert parse_lines(bytes(text), "staging")[1]


@settings(deadline=None)  # the machine may be busy
@given(st.permutations(range(4)), st.integers(0, 4))
def test_any_order_but_the_true_one_is_found(order: list[int], keep: int) -> None:
    """Lines moved or removed from the middle or the beginning break the chain; a true beginning holds."""
    lines = [entry.line() for entry in chain(4)]
    _, problems = parse_lines(b"".join(lines[number] for number in order[:keep]), "staging")
    assert bool(problems) == (order[:keep] != list(range(keep)))


def test_a_line_of_a_later_version_still_holds() -> None:
    """An entry's hash covers the fields that were written, so that old lines hold when fields are added."""
    entry = chain(1)[0]
    fields = entry.plain() | {"note": None}
    del fields["note"], fields["hash"]
    text = Entry.model_validate(fields | {"hash": digest_of(fields)})
    assert text.hash != entry.hash
    assert parse_lines(canonical_json(fields | {"hash": digest_of(fields)}) + b"\n", "staging") == ([text], [])


def test_nothing_is_added_to_a_broken_chain(ada: Repository) -> None:
    """A forged ledger is refused, with what is wrong."""
    ledger = Ledger(ada)
    ledger.append(fact(reason="weekly"))
    tip = ada.tip(REF)
    assert tip
    data = (ada.read_bytes(tip, "staging.jsonl") or b"").replace(b"weekly", b"weakly")
    ada.push(ada.commit([tip], tip, {"staging.jsonl": data}, "Forge"), REF, tip)
    with pytest.raises(LedgerError, match="was edited"):
        ledger.append(applied(B, 1))


def test_the_latest_verification_counts(ada: Repository) -> None:
    """A red verification revokes a green one, and a green one heals it."""
    ledger = Ledger(ada)
    ledger.append(verified(A, 1), verified(B, 2), verified(A, 3, Verdict.FAIL))
    assert [entry.release for entry in ledger.verified("staging", "flights")] == [B]
    last = ledger.last_verified("staging", "flights", A)
    assert last
    assert last.verdict is Verdict.FAIL
    ledger.append(verified(A, 4))
    assert [entry.release for entry in ledger.verified("staging", "flights")] == [A, B]


def test_soaking_counts_while_it_serves_and_is_green(ada: Repository) -> None:
    """Healthy since the first green verification after the last that was not, as long as it serves."""
    ledger = Ledger(ada)
    ledger.append(applied(A, 0), verified(A, 1), verified(A, 2))
    assert ledger.healthy_since("staging", "flights", A) == START + timedelta(hours=1)
    ledger.append(verified(A, 3, Verdict.ERROR), verified(A, 4))
    assert ledger.healthy_since("staging", "flights", A) == START + timedelta(hours=4)
    ledger.append(applied(B, 5))
    assert ledger.healthy_since("staging", "flights", A) is None
    assert ledger.healthy_since("staging", "flights", B) is None


def test_who_served_at_a_moment(ada: Repository) -> None:
    """Git alone can say which release was applied at any past moment, in every environment."""
    ledger = Ledger(ada)
    ledger.append(applied(A, 1), applied(B, 3))
    ledger.append(fact(environment="production", release=A, hours=4))

    def at(hours: float) -> dict[str, str]:
        found = served_at(ledger, START + timedelta(hours=hours))
        return {served.entry.environment: served.release for served in found}

    assert (at(0), at(2), at(3)) == ({}, {"staging": A}, {"staging": B})
    assert at(5) == {"staging": B, "production": A}
    assert served_at(ledger, START + timedelta(hours=5), "production", "flights")[0].release == A


def test_a_clone_without_a_ledger_has_nothing_to_tell(ada: Repository) -> None:
    """Before the first reconcile there is no branch, and that is no problem."""
    ledger = Ledger(ada)
    assert (ledger.entries("staging"), ledger.environments(), ledger.verify()) == ([], [], [])


def test_invented_and_rewritten_entries_are_found(ada: Repository) -> None:
    """A whole chain that main contradicts is found, and so is a branch that was replaced by another."""
    ledger = Ledger(ada)
    ledger.append(fact(commit=ada.main()))
    assert [problem.message for problem in ledger.verify()] == [
        f"says {A[7:19]}, but main declared nothing at {ada.main()[:12]}"
    ]
    tip = ada.tip(REF)
    assert ada.resolve(SEEN) == tip
    ada.push(ada.commit([], None, {"staging.jsonl": b""}, "Replace"), REF, tip)
    assert any("rewritten" in str(problem) for problem in ledger.verify())
    with pytest.raises(LedgerError, match="git update-ref -d"):
        ledger.append(fact())
