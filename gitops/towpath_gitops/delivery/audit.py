"""The ledger against main's history and its own: whatever one says and another does not is found, offline.

A clone that has seen the ledger before also finds that its branch was replaced. One that sees it for the first time has
only main to hold against it: of a branch that was cut short by force it finds what main still tells of, and no more.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from towpath_gitops.delivery.entries import Entry, Event, Problem
from towpath_gitops.delivery.ledger import ENTRY_TRAILER, REF, Ledger
from towpath_gitops.delivery.testimony import History, Place
from towpath_gitops.errors import LedgerError

_SHOWN: Final = 100  # problems in one message


def audit(ledger: Ledger) -> list[Problem]:
    """Return everything that is wrong with the ledger: see `Ledger.verify`."""
    history = History(ledger.repository)
    problems = ledger.rewritten()
    chains: dict[str, list[Entry]] = {}
    for environment in sorted({*ledger.environments(), *(place.environment for place in history.places)}):
        chains[environment], broken = ledger.read(environment)
        problems += broken
        problems += [problem for entry in chains[environment] for problem in _contradictions(history, entry)]
        problems += _unearned(chains[environment])
        problems += _left_out(history, environment, chains[environment])
    problems += _forgotten(ledger, chains)
    if not problems:
        ledger.remember()
    return problems


def require_true(ledger: Ledger) -> int:
    """Return the number of entries of a ledger with which nothing is wrong.

    Raises:
        LedgerError: naming what is.
    """
    problems = audit(ledger)
    if problems:
        more = [f"… and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise LedgerError(
            f"The ledger has {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            why="\n".join([*map(str, problems[:_SHOWN]), *more]),
            hint="Compare with another clone's towpath/ledger before anything else is promoted.",
        )
    return sum(len(ledger.entries(environment)) for environment in ledger.environments())


def _contradictions(history: History, entry: Entry) -> Iterator[Problem]:
    """Yield what main's history says otherwise than an entry."""

    def problem(message: str) -> Problem:
        return Problem(entry.environment, entry.seq, message)

    if entry.commit not in history.line:
        yield problem(f"names commit {entry.commit[:12]}, which is not in main's history")
        return
    place = Place(entry.environment, entry.model)
    facts = history.facts(entry.commit, place)
    if facts is None:
        yield problem(f"says {entry.release[7:19]}, but main declared nothing at {entry.commit[:12]}")
        return
    if not history.delivers(entry.commit, place):
        yield problem(f"names commit {entry.commit[:12]}, which changed neither the file nor the service")
    for name, value in facts.items():
        if getattr(entry, name) != value:
            yield problem(f"says {name} {getattr(entry, name)}, but main at {entry.commit[:12]} says {value}")


def _unearned(entries: Iterable[Entry]) -> Iterator[Problem]:
    """Yield the shifts to a release that was never applied before in that place."""
    applied: set[tuple[str, str]] = set()
    for entry in entries:
        if entry.event is Event.APPLIED:
            applied.add((entry.model, entry.release))
        elif entry.event is Event.SHIFTED and (entry.model, entry.to or "") not in applied:
            there = entry.to[7:19] if entry.to else "nothing"
            yield Problem(entry.environment, entry.seq, f"shifts to {there}, which was never applied here")


def _left_out(history: History, environment: str, entries: Iterable[Entry]) -> Iterator[Problem]:
    """Yield the declarations of which no entry tells, but for the newest of each place: its turn may come yet."""
    told = {(entry.model, entry.commit) for entry in entries if entry.event is not Event.VERIFIED}
    for place in [place for place in history.places if place.environment == environment]:
        for declaration in list(history.declarations(place))[:-1]:
            commit = declaration.declared.commit
            if (place.model, commit) not in told:
                message = f"main's commit {commit[:12]} declares a release of {place.model}, but no entry tells of it"
                yield Problem(environment, None, f"{message}: reconcile has not run yet, or lines were removed")


def _forgotten(ledger: Ledger, chains: dict[str, list[Entry]]) -> Iterator[Problem]:
    """Yield the entries that the ledger's own commits speak of and its files do not hold any more.

    Each push names the last entry that it wrote. Lines that are taken from the end leave a whole chain behind, but not
    the history that made them.
    """
    tip = ledger.repository.tip(REF)
    for info in ledger.repository.log(tip) if tip else ():
        for words in (value.split(" ") for value in info.trailers(ENTRY_TRAILER)):
            if len(words) != len(("environment", "seq", "hash")) or not words[1].isdecimal():
                continue
            environment, seq, mark = words[0], int(words[1]), words[2]
            held = chains.get(environment, [])[seq - 1 : seq]
            if [entry.hash for entry in held] != [mark]:
                yield Problem(
                    environment, seq, f"the ledger's commit {info.sha[:12]} wrote another: it was removed since"
                )
