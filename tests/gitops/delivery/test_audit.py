# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""The audit: whatever is done to a ledger is found, from git alone; and what git alone can tell is told."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath_gitops import layout
from towpath_gitops.delivery.audit import audit, require_true
from towpath_gitops.delivery.declared import declared_at
from towpath_gitops.delivery.export import as_csv, as_json, exported
from towpath_gitops.delivery.ledger import REF, SEEN, Entry, Event, Fact
from towpath_gitops.delivery.served import served_at
from towpath_gitops.delivery.testimony import History, Place
from towpath_gitops.errors import LedgerError
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import World

START = datetime(2026, 1, 1, tzinfo=UTC)
FILE = "staging.jsonl"


def release(world: "World", version: int) -> Release:
    """Return a release that nobody needs to have registered."""
    digest = digest_of(version)
    fields = {"model": world.model, "version": version, "semver": f"1.{version}.0", "code": "c" * 40}
    return Release.model_validate(fields | dict.fromkeys(("artifact", "schema", "data"), digest))


def tell(world: "World", commit: str, hours: float, *events: Event, **fields: Any) -> list[Entry]:
    """Write into the ledger what happened to a declaration, in main's own words."""
    declared = declared_at(world.repository, commit, "staging", world.model)
    assert declared
    place = {"environment": "staging", "model": world.model, "commit": commit}
    facts = [declared.facts() | place | {"event": event, "time": START + timedelta(hours=hours)} for event in events]
    verdicts = {Event.VERIFIED: {"verdict": Verdict.PASS}}
    return world.ledger.append(
        *(Fact.model_validate(fact | verdicts.get(fact["event"], {}) | fields) for fact in facts)
    )


@pytest.fixture
def told(world: "World") -> "World":
    """A world with a past: three declarations, of which the second was replaced before anybody applied it."""
    first, second, third = (world.declare(release(world, number)) for number in (1, 2, 3))
    tell(world, first, 1, Event.APPLIED, Event.VERIFIED)
    tell(world, second, 2, Event.SUPERSEDED)
    tell(world, third, 3, Event.APPLIED, Event.VERIFIED)
    return world


def forge(world: "World", data: bytes) -> list[str]:
    """Let this clone see another ledger file on top of the true one, and return what the audit finds."""
    repository, tip = world.repository, world.repository.tip(REF)
    mirror = "refs/remotes/origin/towpath/ledger"
    repository.git.run("update-ref", mirror, repository.commit([tip] if tip else [], tip, {FILE: data}, "Forge"))
    try:
        return [str(problem) for problem in audit(world.ledger)]
    finally:
        repository.git.run("update-ref", mirror, tip or "")


def lines(world: "World") -> list[bytes]:
    """Return the lines of the true file."""
    tip = world.repository.tip(REF)
    return (world.repository.read_bytes(tip or "", FILE) or b"").splitlines(keepends=True)


def chained(world: "World", edit: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """Return a file that was edited by somebody who can compute every hash anew."""
    fields = [json.loads(line) for line in lines(world)]
    edit(fields)
    entries: list[Entry] = []
    for item in fields:
        known = {name: item[name] for name in Fact.model_json_schema()["properties"] if name in item}
        entries.append(Entry.following(entries[-1] if entries else None, Fact.model_validate(known)))
    return b"".join(entry.line() for entry in entries)


def test_a_true_ledger_has_no_problem(told: "World") -> None:
    """Every entry is confirmed by main, and none is missing."""
    assert audit(told.ledger) == []
    assert require_true(told.ledger) == 5


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_mutation_of_a_real_ledger_is_found(told: "World", data: st.DataObject) -> None:
    """A byte replaced, added or taken away; a line removed, repeated, or moved; the file cut off anywhere."""
    true = lines(told)
    whole = b"".join(true)
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "cut", "remove", "repeat", "move"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    line = data.draw(st.integers(0, len(true) - 1))
    if kind == "replace":
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
        forged = whole[:at] + bytes([byte]) + whole[at + 1 :]
    elif kind == "insert":
        forged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at:]
    elif kind == "delete":
        forged = whole[:at] + whole[at + 1 :]
    elif kind == "cut":
        forged = whole[:at]
    else:
        rest = true[:line] + true[line + 1 :]
        place = data.draw(st.integers(0, len(rest)).filter(lambda number: number != line))
        back = {"remove": [], "repeat": [true[line]], "move": [true[line]]}[kind]
        forged = b"".join(true + back) if kind == "repeat" else b"".join(rest[:place] + back + rest[place:])
    assert forge(told, forged)


def _better(fields: list[dict[str, Any]]) -> None:
    fields[1]["answers"] = digest_of("better")


def _shorter(fields: list[dict[str, Any]]) -> None:
    del fields[-1]


def _invented(fields: list[dict[str, Any]]) -> None:
    fields.append(fields[-1] | {"verdict": "fail", "time": (START + timedelta(days=9)).isoformat()})
    fields[-1]["commit"] = "0" * 40


def _approved(fields: list[dict[str, Any]]) -> None:
    fields.append(fields[-2] | {"approved_by": ["mallory@example.org"]})


def _shifted(fields: list[dict[str, Any]]) -> None:
    fields.append(fields[-2] | {"event": "shifted", "to": digest_of("never served")})


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (_better, "was removed since"),
        (_shorter, "was removed since"),
        (_invented, "not in main's history"),
        (_approved, "says approved_by"),
        (_shifted, "never applied here"),
    ],
)
def test_a_forger_who_computes_every_hash_anew_is_found(
    told: "World", edit: Callable[[list[dict[str, Any]]], None], found: str
) -> None:
    """The chain holds, but the ledger's own commits and main's history say otherwise."""
    forged = chained(told, edit)
    assert any(found in problem for problem in forge(told, forged))


def test_an_entry_about_a_commit_that_changed_nothing_here_is_found(told: "World") -> None:
    """A commit that edits the README delivers nothing, although the file still declared the release then."""
    readme = told.push({"README.md": b"words\n"})

    def edit(fields: list[dict[str, Any]]) -> None:
        fields.append(fields[-2] | {"commit": readme})

    assert any("changed neither the file nor the service" in problem for problem in forge(told, chained(told, edit)))


def test_a_removed_line_of_a_change_on_main_is_found_even_where_the_branch_was_made_anew(told: "World") -> None:
    """A clone that never saw the true branch still knows what main declared."""
    tip = told.repository.tip(REF)

    def edit(fields: list[dict[str, Any]]) -> None:
        del fields[2]  # the superseded one

    anew = told.repository.commit([], None, {FILE: chained(told, edit)}, "Begin again")
    told.repository.push(anew, REF, tip)
    told.repository.git.run("update-ref", "-d", SEEN)
    with pytest.raises(LedgerError, match=r"no entry tells of it[\s\S]*lines were removed"):
        require_true(told.ledger)


def test_what_is_found_is_not_taken_for_seen(told: "World") -> None:
    """A forged branch that an audit has looked at is not what this clone trusts from then on."""
    before = told.repository.resolve(SEEN)
    assert forge(told, b"")
    assert told.repository.resolve(SEEN) == before


def test_removing_a_file_from_main_does_not_hide_its_past(told: "World") -> None:
    """What was declared in a file that is gone is still asked for."""
    told.push({layout.environment_path("staging", told.model): None})
    assert audit(told.ledger) == []

    def edit(fields: list[dict[str, Any]]) -> None:
        del fields[0:2]

    assert any("no entry tells of it" in problem for problem in forge(told, chained(told, edit)))


def test_main_alone_tells_what_was_declared_why_and_by_whom(told: "World") -> None:
    """Without any ledger: commits, releases, changes, pull requests and approvals, in order."""
    history = History(told.repository)
    found = list(history.declarations(Place("staging", told.model)))
    assert [item.declared.release.version for item in found] == [1, 2, 3]
    facts = found[1].declared.facts()
    assert facts["replaces"] == found[0].declared.release.id
    assert (facts["pull"], facts["approved_by"], facts["reason"]) == (7, ("grace@example.org",), "because")
    assert [item.declared for item in found] == [
        declared_at(told.repository, item.declared.commit, "staging", told.model) for item in found
    ]


def test_a_file_that_main_held_broken_or_as_a_link_declares_nothing(told: "World") -> None:
    """History is read as it was, and what could not be read then is not read now."""
    path = layout.environment_path("staging", told.model)
    broken = told.push({path: b"kind: [\n"})
    history = History(told.repository)
    assert history.declared(broken, Place("staging", told.model)) is None
    assert audit(told.ledger) == []


def at(world: "World", hours: float) -> Any:
    """Return what served in staging."""
    found = served_at(world.ledger, START + timedelta(hours=hours), "staging", world.model)
    return found[0] if found else None


def test_what_served_at_a_moment_and_how_it_fared(told: "World") -> None:
    """The release applied last by then, its version in main's words, and its latest verification by then."""
    assert at(told, 0.5) is None
    assert (at(told, 1).semver, at(told, 2.5).semver, at(told, 4).semver) == ("1.1.0", "1.1.0", "1.3.0")
    assert at(told, 4).verified.verdict is Verdict.PASS
    assert at(told, 4).flags == ()


def test_after_a_shift_the_release_that_really_served_is_named(told: "World") -> None:
    """The guard's shift counts: declared is one, served is another, and the flag says so."""
    third = told.repository.main()
    old, new = release(told, 1), release(told, 3)
    tell(told, third, 4, Event.SHIFTED, to=old.id, note="5xx on 12 of 100 requests")
    found = at(told, 5)
    assert (found.release, found.semver, found.entry.release) == (old.id, "1.1.0", new.id)
    assert "5xx on 12 of 100" in found.flags[0]
    assert audit(told.ledger) == []
    fourth = told.declare(release(told, 4))
    tell(told, fourth, 6, Event.APPLIED)
    assert at(told, 7).semver == "1.4.0"
    assert at(told, 7).flags == ("never verified by then",)


def test_a_hotfix_in_a_freeze_with_a_challenger_is_flagged(told: "World") -> None:
    """Whatever an auditor should ask about stands beside the answer."""
    freeze = {"name": "Winter", "timezone": "UTC", "from": "2000-01-01T00:00", "until": "2100-01-01T00:00"}
    policy = {"apiVersion": "towpath/v1", "kind": "Policy", "environments": [{"name": "staging", "freeze": [freeze]}]}
    told.push({layout.POLICY: dump_yaml(policy).encode()})
    new, other = release(told, 5), release(told, 6)
    change = {"type": "hotfix", "from": told.declared["staging"].id, "reason": "urgent"}
    commit = told.declare(new, change=change)
    tell(told, commit, 5, Event.APPLIED, challenger=other.id, share=0.1)
    tell(told, commit, 5, Event.VERIFIED, verdict=Verdict.FAIL, note="slow")
    words = " / ".join(at(told, 6).flags)
    for part in ("a hotfix", f"challenger {other.short_id} with a share of 0.1", "“Winter”", "said fail: slow"):
        assert part in words


def test_an_export_is_the_ledger_entry_by_entry(told: "World") -> None:
    """The same ledger gives the same bytes; filtered by model, the chain's end is still named."""
    entries = told.ledger.entries("staging")
    found = exported(told.ledger)
    assert list(found.entries) == entries
    assert found.heads == {"staging": entries[-1].hash}
    assert as_json(found) == as_json(exported(told.ledger))
    assert json.loads(as_json(found))["entries"][0]["hash"] == entries[0].hash
    assert exported(told.ledger, model="none").entries == ()
    rows = list(csv.DictReader(StringIO(as_csv(found))))
    assert [row["hash"] for row in rows] == [entry.hash for entry in entries]
    assert rows[0]["approved_by"] == "grace@example.org"


@pytest.mark.parametrize("reason", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", '=cmd|" /C calc"!A0'])
def test_no_cell_is_a_formula(told: "World", reason: str) -> None:
    """Whatever a person wrote as a reason, a spreadsheet shows it as words."""
    commit = told.declare(release(told, 4), change={"type": "promote", "from": None, "reason": reason})
    tell(told, commit, 9, Event.APPLIED)
    rows = list(csv.reader(StringIO(as_csv(exported(told.ledger)))))
    assert f"'{reason}" in rows[-1]
    assert not [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell]


def test_a_broken_ledger_is_not_exported(told: "World") -> None:
    """Nothing false is handed on."""
    tip = told.repository.tip(REF)
    forged = told.repository.commit([tip or ""], tip, {FILE: b"".join(lines(told)[1:])}, "Forge")
    told.repository.push(forged, REF, tip)
    with pytest.raises(LedgerError):
        exported(told.ledger)
