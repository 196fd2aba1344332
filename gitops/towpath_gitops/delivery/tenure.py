"""The changes of one place that came to serve, each with all that git knows about it: what an auditor asks for."""

from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.entries import Entry, Event
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.testimony import Declaration, History, Place
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.promotion import declared as promotion
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository


@dataclass(frozen=True)
class Tenure:
    """One change of a place, from its merge until the next one that came to serve."""

    declaration: Declaration
    entries: tuple[Entry, ...]  # what the ledger tells of it, in order
    policy: Policy | None  # of the very commit; None where it held none that can be read
    evidence: Mapping[Kind, Evidence]  # that the commit holds for the release; empty where it cannot be read
    until: datetime | None = None  # when the next was applied; None: it serves now

    @property
    def declared(self) -> Declared:
        """What main's commit declares."""
        return self.declaration.declared

    @property
    def subject(self) -> Release:
        """The release that the change is about: in an experiment the challenger."""
        deployment = self.declared.deployment
        if deployment.experiment and deployment.change and deployment.change.type is ChangeType.EXPERIMENT:
            return deployment.experiment.challenger.release(deployment.model)
        return self.declared.release

    @property
    def applied(self) -> Entry:
        """The entry of its first application."""
        return next(entry for entry in self.entries if entry.event is Event.APPLIED)

    @property
    def verifications(self) -> tuple[Entry, ...]:
        """The entries of its verifications, in order."""
        return tuple(entry for entry in self.entries if entry.event is Event.VERIFIED)


def tenures(history: History, ledger: Ledger, place: Place) -> list[Tenure]:
    """Return the changes of a place that were applied, newest first.

    Raises:
        LedgerError: the chain is broken.
    """
    declarations = list(history.declarations(place))
    told: dict[int, list[Entry]] = {}
    starts = [history.position(declaration.declared.commit) for declaration in declarations]
    for entry in ledger.entries(place.environment, place.model):
        if entry.commit in history.line:
            # An entry may name a later commit, which changed only the code that serves the same declaration.
            told.setdefault(bisect_right(starts, history.position(entry.commit)) - 1, []).append(entry)
    found: list[Tenure] = []
    until: datetime | None = None
    for number in sorted(told, reverse=True):
        entries = tuple(told[number])
        if number >= 0 and any(entry.event is Event.APPLIED for entry in entries):
            found.append(_tenure(history.repository, declarations[number], entries, until))
            until = found[-1].applied.time
    return found


def _tenure(
    repository: Repository, declaration: Declaration, entries: tuple[Entry, ...], until: datetime | None
) -> Tenure:
    commit = declaration.declared.commit
    policy: Policy | None = None
    with suppress(InvalidFileError):  # what cannot be read demands nothing that could be shown as met
        text = repository.read(commit, layout.POLICY)
        policy = parse_yaml(text, Policy, source=layout.POLICY) if text else None
    found = Tenure(declaration, entries, policy, {}, until)
    with suppress(InvalidFileError):  # what cannot be read is no evidence, and is shown as missing
        return replace(found, evidence=promotion.evidence(repository, commit, found.subject.id))
    return found
