"""The ledger: who served what, when, on whose approval; one hash-chained line per event, kept on its own branch.

The branch `towpath/ledger` has no ancestor in common with main. It holds one JSONL file per environment; each line
carries the hash of the line before, so that a line edited, removed or moved is found, and each names the commit of main
that declared its release, so that a line invented or left out is found too.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from pydantic import AwareDatetime, Field, PositiveInt

from towpath_gitops.errors import ConflictError, InvalidFileError, LedgerError
from towpath_gitops.records.base import ApiVersion, Commit, Digest, Line, Name, Record, canonical_json, digest_of
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import Repository

REF: Final = "refs/heads/towpath/ledger"
# Where this clone remembers the ledger that it saw last; local, never pushed.
SEEN: Final = "refs/worktree/towpath/ledger-seen"
# A verification that says the same again is written down only this long after the last one.
REPEAT_AFTER: Final = timedelta(days=1)
_TRIES = 8


class Event(StrEnum):
    """What happened to a declared release."""

    APPLIED = "applied"  # the target answers with it
    VERIFIED = "verified"  # it was asked its golden requests
    SUPERSEDED = "superseded"  # another was declared before it was applied


class Fact(Record):
    """What an entry states, before it has its place in the chain."""

    time: AwareDatetime
    event: Event
    environment: Name
    model: Name
    release: Digest
    commit: Commit = Field(description="main's commit that declares the release")
    change: ChangeType
    replaces: Digest | None = Field(default=None, description="the release that was declared before")
    reason: Line | None = None
    pull: PositiveInt | None = None
    author: Line | None = Field(default=None, description="who proposed the change")
    approved_by: tuple[Line, ...] = ()
    evidence: Digest | None = Field(default=None, description="digest of the evidence that the change rests on")
    verdict: Verdict | None = None
    answers: Digest | None = Field(default=None, description="digest of the answers to the golden requests")
    serving: Digest | None = Field(
        default=None, description="digest of the code that answered: equal code, equal bytes"
    )
    note: Line | None = None

    def repeats(self, earlier: Self) -> bool:
        """Return whether this says nothing that `earlier` has not said, so that it need not be written down."""
        fresh = self.time - earlier.time < REPEAT_AFTER or self.event is not Event.VERIFIED
        return fresh and self._said() == earlier._said()

    def _said(self) -> tuple[object, ...]:
        return (self.event, self.commit, self.release, self.verdict, self.answers, self.serving)


class Entry(Fact):
    """One line of the ledger."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    seq: PositiveInt = Field(description="1, 2, 3, … within the environment's file")
    previous: Digest | None = Field(description="hash of the line before; null for the first")
    hash: Digest = Field(description="digest of the canonical JSON of all other fields, as they were written")

    @classmethod
    def following(cls, before: Self | None, fact: Fact) -> Self:
        """Give a fact its place in the chain, after the entry `before` or at its beginning."""
        place = {"apiVersion": "towpath/v1", "seq": before.seq + 1 if before else 1}
        fields = fact.plain() | place | {"previous": before.hash if before else None}
        return cls.model_validate(fields | {"hash": digest_of(fields)})

    def line(self) -> bytes:
        """Return the entry as its line."""
        return canonical_json(self.plain()) + b"\n"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the ledger, in words."""

    environment: str
    seq: int | None
    message: str

    def __str__(self) -> str:
        """Name the place, then the problem."""
        place = self.environment if self.seq is None else f"{self.environment}, entry {self.seq}"
        return f"{place}: {self.message}"


def parse_lines(data: bytes, environment: str) -> tuple[list[Entry], list[Problem]]:
    """Return the entries in a ledger file, and every place where its chain is broken."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    if data and not data.endswith(b"\n"):
        problems.append(Problem(environment, None, "the last line is cut off"))
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            entry = parse_json(text, Entry, source=f"{environment}.jsonl, line {number}")
        except (InvalidFileError, RecursionError) as error:
            problems.append(Problem(environment, number, f"is not an entry: {str(error).splitlines()[-1].strip()}"))
            continue
        before = entries[-1] if entries else None
        problems += [Problem(environment, number, message) for message in _broken(text, entry, number, before)]
        entries.append(entry)
    return entries, problems


def _broken(text: bytes, entry: Entry, number: int, before: Entry | None) -> Iterable[str]:
    written = json.loads(text)  # not the record: fields that a later version adds are not part of an old line's hash
    claimed = written.pop("hash")
    if digest_of(written) != claimed or canonical_json(written | {"hash": claimed}) != text:
        yield "was edited: its hash is not that of its fields"
    if entry.previous != (before.hash if before else None):
        yield "does not follow the line before it: a line was edited, removed or moved"
    if entry.seq != number:
        yield f"calls itself entry {entry.seq}: lines were removed or moved"


class Ledger:
    """The ledger of one repository, as last fetched."""

    def __init__(self, repository: Repository) -> None:
        """Read from and append to the ledger branch of the repository's remote."""
        self.repository = repository

    def environments(self) -> list[str]:
        """Return the environments that have a ledger."""
        tip = self.repository.tip(REF)
        paths = self.repository.list(tip) if tip else []
        return [path.removesuffix(".jsonl") for path in paths if path.endswith(".jsonl") and "/" not in path]

    def entries(self, environment: str, model: str | None = None) -> list[Entry]:
        """Return the entries of an environment in order, of one model or of all.

        Raises:
            LedgerError: the chain is broken.
        """
        entries, problems = self.read(environment)
        if problems:
            raise LedgerError(
                f"The ledger of {environment} is broken",
                why="\n".join(map(str, problems[:5])),
                hint="See all of it: towpath audit verify",
            )
        return [entry for entry in entries if model in {None, entry.model}]

    def read(self, environment: str) -> tuple[list[Entry], list[Problem]]:
        """Return the entries of an environment and what is wrong with their chain."""
        tip = self.repository.tip(REF)
        return parse_lines(self._data(tip, environment), environment)

    def append(self, *facts: Fact) -> list[Entry]:
        """Write facts of one environment down, in order and in one push, and return the entries that this added.

        A fact that repeats the latest of its model and event is left out. When somebody else appends first, it looks
        again and repeats.

        Raises:
            LedgerError: the chain is broken, or the branch was rewritten; nothing is added to it.
            ConflictError: others were faster every time.
        """
        environment = facts[0].environment
        for attempt in range(_TRIES):
            self.require_continuous()
            tip = self.repository.tip(REF)
            entries = self.entries(environment)
            added = _chained(entries, facts)
            if not added:
                return []
            try:
                self._push(tip, environment, added)
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
                self.repository.fetch()
            else:
                self.remember()
                return added
        raise AssertionError  # the loop returns or raises

    def verify(self) -> list[Problem]:
        """Return everything that is wrong with the ledger; empty when it and main's history tell the same story.

        Found are lines edited, removed, moved, cut off or invented, a branch that was rewritten since this clone last
        looked, entries that main contradicts, and changes on main (but for the newest of each file) without an entry.
        """
        from towpath_gitops.delivery.audit import audit  # noqa: PLC0415 (it reads ledgers, as this module does)

        return audit(self)

    def rewritten(self) -> list[Problem]:
        """Return the problem that the branch no longer holds what this clone has seen of it; empty when it does."""
        tip, seen = self.repository.tip(REF), self.repository.resolve(SEEN)
        if seen is None or (tip and self.repository.is_ancestor(seen, tip)):
            return []
        return [Problem("all", None, f"the branch was rewritten: {seen[:12]}, which this clone has seen, is gone")]

    def require_continuous(self) -> None:
        """Refuse to go on with a ledger that was rewritten.

        Raises:
            LedgerError: saying how to accept it.
        """
        problems = self.rewritten()
        if problems:
            raise LedgerError(
                "The ledger's branch was rewritten",
                why=problems[0].message,
                hint=f"Find out by whom. To accept what is there now: git update-ref -d {SEEN}",
            )

    def remember(self) -> None:
        """Remember in this clone how far the ledger is, so that a later look notices when it was rewritten."""
        tip = self.repository.tip(REF)
        if tip:
            self.repository.git.run("update-ref", SEEN, tip)

    def last(self, environment: str, model: str, event: Event, release: str | None = None) -> Entry | None:
        """Return the latest entry of a kind, of one release or of any."""
        return _last(self.entries(environment, model), event, release)

    def live(self, environment: str, model: str) -> Entry | None:
        """Return the entry of the release that was applied last, or None before the first."""
        return self.last(environment, model, Event.APPLIED)

    def last_verified(self, environment: str, model: str, release: str) -> Entry | None:
        """Return the latest verification of a release in an environment, green or red, or None. The latest counts."""
        return self.last(environment, model, Event.VERIFIED, release)

    def verified(self, environment: str, model: str) -> list[Entry]:
        """Return the latest verification of each release where it is green, newest first: what one may go back to."""
        latest: dict[str, Entry] = {}
        for entry in self.entries(environment, model):
            if entry.event is Event.VERIFIED:
                latest.pop(entry.release, None)
                latest[entry.release] = entry
        return [entry for entry in reversed(latest.values()) if entry.verdict is Verdict.PASS]

    def healthy_since(self, environment: str, model: str, release: str) -> datetime | None:
        """Return since when the release serves and every verification of it was green; None when it does not.

        A release that was replaced has stopped soaking, one whose latest verification is not green is not healthy.
        """
        since: datetime | None = None
        for entry in self.entries(environment, model):
            if entry.event is Event.APPLIED and entry.release != release:
                since = None
            elif entry.event is Event.VERIFIED and entry.release == release:
                since = (since or entry.time) if entry.verdict is Verdict.PASS else None
        return since

    def at(self, time: datetime, environment: str | None = None, model: str | None = None) -> list[Entry]:
        """Return what served at a moment: the entry last applied by then, for every environment and model."""
        found: dict[tuple[str, str], Entry] = {}
        for name in [environment] if environment else self.environments():
            for entry in self.entries(name, model):
                if entry.event is Event.APPLIED and entry.time <= time:
                    found[name, entry.model] = entry
        return list(found.values())

    def _data(self, tip: str | None, environment: str) -> bytes:
        path = f"{environment}.jsonl"
        return (self.repository.read_bytes(tip, path) if tip else None) or b""

    def _push(self, tip: str | None, environment: str, added: Sequence[Entry]) -> None:
        data = self._data(tip, environment) + b"".join(entry.line() for entry in added)
        subject = ", ".join(f"{entry.event} {entry.model} {entry.release[7:19]}" for entry in added)
        message = f"{environment}: {subject}\n"
        commit = self.repository.commit([tip] if tip else [], tip, {f"{environment}.jsonl": data}, message)
        self.repository.push(commit, REF, tip)


def _chained(entries: Sequence[Entry], facts: Iterable[Fact]) -> list[Entry]:
    """Return the facts that are news as entries that continue the chain."""
    chain = list(entries)
    for fact in facts:
        latest = next((entry for entry in reversed(chain) if _alike(entry, fact)), None)
        if latest is None or not fact.repeats(latest):
            chain.append(Entry.following(chain[-1] if chain else None, fact))
    return chain[len(entries) :]


def _alike(entry: Entry, fact: Fact) -> bool:
    """Return whether both are the same event of the same model; superseded ones, of the same commit."""
    same = (entry.model, entry.event) == (fact.model, fact.event)
    return same and (fact.event is not Event.SUPERSEDED or entry.commit == fact.commit)


def _last(entries: Sequence[Entry], event: Event, release: str | None) -> Entry | None:
    matches = (entry for entry in reversed(entries) if entry.event is event and release in {None, entry.release})
    return next(matches, None)
