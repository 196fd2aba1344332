"""The ledger: who served what, when, on whose approval; one hash-chained line per event, kept on its own branch.

The branch `towpath/ledger` has no ancestor in common with main. It holds one JSONL file per environment; each line
carries the hash of the line before, so that a line edited, removed or moved is found, and each names the commit of main
that declared its release, so that a line invented or left out is found too.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from towpath_gitops.delivery.entries import Entry, Event, Fact, Problem, parse_lines
from towpath_gitops.delivery.lines import BrokenChainError, Lines, Source
from towpath_gitops.errors import ConflictError, LedgerError
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.repository import Repository

__all__ = ["REF", "SEEN", "Entry", "Event", "Fact", "Ledger", "Problem", "parse_lines"]  # one door for them all

REF: Final = "refs/heads/towpath/ledger"
# Where this clone remembers the ledger that it saw last; local, never pushed.
SEEN: Final = "refs/worktree/towpath/ledger-seen"
# Each commit of the branch names the last entry that it wrote, so that lines taken from the end are missed.
ENTRY_TRAILER: Final = "Towpath-Entry"
_TRIES = 8


class Ledger:
    """The ledger of one repository, as last fetched."""

    def __init__(self, repository: Repository) -> None:
        """Read from and append to the ledger branch of the repository's remote."""
        self.repository = repository
        self._lines = Lines(repository.root)

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
        if model is None:
            return self._find(environment, "true", rest="order by seq")
        return self._find(environment, "model = ?", model, rest="order by seq")

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
            added = self._news(self._source(environment, tip), facts)
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

        Found are lines edited, removed, moved, repeated, cut off or invented, a branch that was rewritten since this
        clone last looked, entries that main contradicts, shifts to what never served, and changes on main (but for the
        newest of each file) without an entry.
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
        if release is None:
            return self._newest(environment, "model = ? and event = ?", model, event)
        return self._newest(environment, "model = ? and event = ? and release = ?", model, event, release)

    def live(self, environment: str, model: str) -> Entry | None:
        """Return the entry of the release that was applied last, or None before the first."""
        return self.last(environment, model, Event.APPLIED)

    def newest(self, environment: str, model: str) -> Entry | None:
        """Return the latest entry that tells of a change of main: every one that is not a verification."""
        return self._newest(environment, "model = ? and event != ?", model, Event.VERIFIED)

    def tells(self, environment: str, model: str, commit: str) -> bool:
        """Return whether an entry, other than a verification, tells of a commit of main."""
        where = "model = ? and commit_sha = ? and event != ?"
        return self._newest(environment, where, model, commit, Event.VERIFIED) is not None

    def answers(self, environment: str, model: str, release: str, serving: str) -> str | None:
        """Return the answers' digest of the latest green verification of a release by the code `serving`, or None."""
        where = "model = ? and event = ? and release = ? and serving = ? and verdict = ?"
        found = self._newest(environment, where, model, Event.VERIFIED, release, serving, Verdict.PASS)
        return found.answers if found else None

    def last_verified(self, environment: str, model: str, release: str) -> Entry | None:
        """Return the latest verification of a release in an environment, green or red, or None. The latest counts."""
        return self.last(environment, model, Event.VERIFIED, release)

    def verified(self, environment: str, model: str) -> list[Entry]:
        """Return the latest verification of each release where it is green, newest first: what one may go back to."""
        latest = "select max(seq) from line where environment = ? and model = ? and event = ? group by release"
        values = (Verdict.PASS, environment, model, Event.VERIFIED)
        return self._find(environment, f"verdict = ? and seq in ({latest})", *values, rest="order by seq desc")

    def healthy_since(self, environment: str, model: str, release: str) -> datetime | None:
        """Return since when the release serves and every verification of it was green; None when it does not.

        A release that was replaced has stopped soaking, and so has one whose traffic was shifted away; one whose latest
        verification is not green is not healthy. A clock that was set back in between makes nothing soak for longer.
        """
        ended = (
            "model = ? and ((event = ? and release != ?) or (event = ? and release = ?)"
            " or (event = ? and release = ? and verdict != ?))"
        )
        gone = (Event.APPLIED, release, Event.SHIFTED, release, Event.VERIFIED, release, Verdict.PASS)
        last = self._newest(environment, ended, model, *gone)
        began = "model = ? and event = ? and release = ? and seq > ?"
        values = (model, Event.VERIFIED, release, last.seq if last else 0)
        found = self._find(environment, began, *values, rest="order by seq limit 1")
        return max(entry.time for entry in (found[0], last) if entry) if found else None

    def standings(self, environment: str) -> Mapping[str, Mapping[Event, Entry]]:
        """Return the latest entry of each kind of every model in an environment, read at once: model → event → entry.

        Raises:
            LedgerError: the chain is broken.
        """
        latest = "select max(seq) from line where environment = ? group by model, event"
        found: dict[str, dict[Event, Entry]] = {}
        for entry in self._find(environment, f"seq in ({latest})", environment):
            found.setdefault(entry.model, {})[entry.event] = entry
        return found

    # --- the lines ---------------------------------------------------------------------------------------------

    def _source(self, environment: str, tip: str | None) -> Source | None:
        path = f"{environment}.jsonl"
        found = [entry for entry in self.repository.entries(tip, path) if entry.path == path] if tip else []
        return Source(environment, found[0].blob, lambda: self._data(tip, environment)) if found else None

    def _find(self, environment: str, where: str, *values: object, rest: str = "") -> list[Entry]:
        return self._in(self._source(environment, self.repository.tip(REF)), where, *values, rest=rest)

    def _newest(self, environment: str, where: str, *values: object) -> Entry | None:
        return next(iter(self._find(environment, where, *values, rest="order by seq desc limit 1")), None)

    def _in(self, source: Source | None, where: str, *values: object, rest: str = "") -> list[Entry]:
        if source is None:
            return []
        try:
            return self._lines.find(source, where, values, rest=rest)
        except BrokenChainError as error:
            raise LedgerError(
                f"The ledger of {source.environment} is broken",
                why="\n".join(map(str, error.problems[:5])),
                hint="See all of it: towpath audit verify",
            ) from error

    def _news(self, source: Source | None, facts: Sequence[Fact]) -> list[Entry]:
        """Return the facts that are news as entries that continue the chain."""
        last = next(iter(self._in(source, "true", rest="order by seq desc limit 1")), None)
        added: list[Entry] = []
        for fact in facts:
            latest = next((entry for entry in reversed(added) if _alike(entry, fact)), None)
            latest = latest or self._alike(source, fact)
            if latest is None or not fact.repeats(latest):
                last = Entry.following(last, fact)
                added.append(last)
        return added

    def _alike(self, source: Source | None, fact: Fact) -> Entry | None:
        """Return the latest entry of the same model and event; of a superseded one, of the same commit."""
        where, values = "model = ? and event = ?", [fact.model, fact.event]
        if fact.event is Event.SUPERSEDED:
            where, values = f"{where} and commit_sha = ?", [*values, fact.commit]
        return next(iter(self._in(source, where, *values, rest="order by seq desc limit 1")), None)

    def _data(self, tip: str | None, environment: str) -> bytes:
        path = f"{environment}.jsonl"
        return (self.repository.read_bytes(tip, path) if tip else None) or b""

    def _push(self, tip: str | None, environment: str, added: Sequence[Entry]) -> None:
        data = self._data(tip, environment) + b"".join(entry.line() for entry in added)
        subject = ", ".join(f"{entry.event} {entry.model} {entry.release[7:19]}" for entry in added)
        mark = f"{environment} {added[-1].seq} {added[-1].hash}"
        message = f"{environment}: {subject}\n\n{ENTRY_TRAILER}: {mark}\n"
        commit = self.repository.commit([tip] if tip else [], tip, {f"{environment}.jsonl": data}, message)
        self.repository.push(commit, REF, tip)


def _alike(entry: Entry, fact: Fact) -> bool:
    """Return whether both are the same event of the same model; superseded ones, of the same commit."""
    same = (entry.model, entry.event) == (fact.model, fact.event)
    return same and (fact.event is not Event.SUPERSEDED or entry.commit == fact.commit)
