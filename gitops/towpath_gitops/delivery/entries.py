"""What a ledger is made of: facts, each given its place in a chain of hashes, and written as one line.

Each line carries the hash of the line before, so that a line edited, removed or moved is found.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from pydantic import AwareDatetime, Field, PositiveInt, ValidationError

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.base import ApiVersion, Commit, Digest, Line, Name, Record, canonical_json, digest_of, short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json

# A verification that says the same again is written down only this long after the last one.
REPEAT_AFTER: Final = timedelta(days=1)


class Event(StrEnum):
    """What happened to a declared release."""

    APPLIED = "applied"  # the target answers with it
    VERIFIED = "verified"  # it was asked its golden requests
    SUPERSEDED = "superseded"  # another was declared before it was applied
    SHIFTED = "shifted"  # the guard moved traffic away from it to an earlier release, until main says otherwise


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
    terms: Digest | None = Field(
        default=None, description="digest of what it was verified by: main's gates, and its demand for signatures"
    )
    to: Digest | None = Field(default=None, description="shifted: the release that serves instead")
    challenger: Digest | None = Field(default=None, description="the release that serves beside it in an experiment")
    share: float | None = Field(default=None, description="share of requests that the challenger answers or shadows")

    @property
    def beside(self) -> str | None:
        """The challenger in words; None where there is none."""
        if self.challenger is None:
            return None
        share = f" with a share of {self.share:g}" if self.share is not None else ""
        return f"beside it the challenger {short(self.challenger)}{share}"

    note: Line | None = None

    def repeats(self, earlier: Self) -> bool:
        """Return whether this says nothing that `earlier` has not said, so that it need not be written down."""
        fresh = self.time - earlier.time < REPEAT_AFTER or self.event is not Event.VERIFIED
        return fresh and self._said() == earlier._said()

    def _said(self) -> tuple[object, ...]:
        return (self.event, self.commit, self.release, self.verdict, self.answers, self.serving, self.terms)


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


class Place(NamedTuple):
    """Where a chain stands: the number and the hash of its last line."""

    seq: int
    hash: str | None


START: Final = Place(0, None)


def parse_lines(data: bytes, environment: str, after: Place = START) -> tuple[list[Entry], list[Problem]]:
    """Return the entries in a ledger file, and every place where its chain is broken.

    `data` may be the end of a file, whose beginning was checked as far as the place `after`.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    if data and not data.endswith(b"\n"):
        problems.append(Problem(environment, None, "the last line is cut off"))
    for number, text in enumerate(data.splitlines(), start=after.seq + 1):
        try:
            entry, written = _parsed(text, f"{environment}.jsonl, line {number}")
        except (InvalidFileError, RecursionError) as error:
            problems.append(Problem(environment, number, f"is not an entry: {str(error).splitlines()[-1].strip()}"))
            continue
        before = entries[-1].hash if entries else after.hash
        problems += [Problem(environment, number, message) for message in _broken(text, entry, written, before)]
        problems += [Problem(environment, number, message) for message in _misplaced(entry, environment, number)]
        entries.append(entry)
    return entries, problems


def _parsed(text: bytes, source: str) -> tuple[Entry, dict[str, Any]]:
    """Return a line's entry, and its fields as they were written: a later version may have written more."""
    try:
        written = json.loads(text)
        return Entry.model_validate(written), written
    except (ValueError, ValidationError):  # said in the words of every other file
        return parse_json(text, Entry, source=source), {}


def _broken(text: bytes, entry: Entry, written: dict[str, Any], before: str | None) -> Iterable[str]:
    if not _holds(text, entry, written):
        yield "was edited: its hash is not that of its fields"
    if entry.previous != before:
        yield "does not follow the line before it: a line was edited, removed or moved"


def _misplaced(entry: Entry, environment: str, number: int) -> Iterable[str]:
    if entry.environment != environment:
        yield f"speaks of {entry.environment}"
    if entry.seq != number:
        yield f"calls itself entry {entry.seq}: lines were removed or moved"


def _holds(text: bytes, entry: Entry, written: dict[str, Any]) -> bool:
    """Return whether a line is the one spelling of its fields, and its hash theirs.

    Not of the record's fields: those that a later version adds are not part of an old line's hash.
    """
    fields = {name: value for name, value in written.items() if name != "hash"}
    return canonical_json(written) == text and digest_of(fields) == entry.hash


def whole(text: bytes) -> Entry | None:
    """Return the entry in a line whose hash is that of its fields, or None."""
    try:
        entry, written = _parsed(text, "a line of the ledger")
    except InvalidFileError:
        return None
    return entry if _holds(text, entry, written) else None
