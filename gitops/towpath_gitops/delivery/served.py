"""Who served at a moment, and why: the ledger's word for the moment, main's word for the reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at
from towpath_gitops.delivery.entries import Entry, Event
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.promotion.freezes import frozen
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.repository import Repository


@dataclass(frozen=True)
class Served:
    """What served one model in one environment at a moment."""

    entry: Entry  # that brought it about: the latest application or shift by then
    release: str  # the id of what really served: after a shift not the one that is declared
    declared: Declared | None  # what main's commit says; None when this clone does not hold it
    verified: Entry | None  # the latest verification of that release by then
    flags: tuple[str, ...]  # what a reader should know, in sentences

    @property
    def semver(self) -> str:
        """The semantic version of what served; `?` where main's commit speaks of another release."""
        release = self.declared.release if self.declared else None
        return release.semver if release and release.id == self.release else "?"


def served_at(ledger: Ledger, time: datetime, environment: str | None = None, model: str | None = None) -> list[Served]:
    """Return what served at the aware moment `time`, for every environment and model that has been served by then.

    Raises:
        LedgerError: the chain is broken.
    """
    found: list[Served] = []
    for name in [environment] if environment else ledger.environments():
        by_model: dict[str, list[Entry]] = {}
        for entry in ledger.entries(name, model):
            if entry.time <= time:
                by_model.setdefault(entry.model, []).append(entry)
        found += filter(None, (_served(ledger.repository, entries) for entries in by_model.values()))
    return found


def _served(repository: Repository, entries: list[Entry]) -> Served | None:
    moved = [entry for entry in entries if entry.event in {Event.APPLIED, Event.SHIFTED}]
    if not moved:
        return None
    entry = moved[-1]
    release = entry.to if entry.event is Event.SHIFTED and entry.to else entry.release
    looked = [each for each in entries if each.event is Event.VERIFIED and each.release == release]
    verified = looked[-1] if looked else None
    declared = _declared(repository, entry, release, moved)
    return Served(entry, release, declared, verified, tuple(_flags(repository, entry, verified)))


def _declared(repository: Repository, entry: Entry, release: str, moved: list[Entry]) -> Declared | None:
    """Return main's word for what served: after a shift, of the commit that brought that release earlier."""
    commits = [each.commit for each in reversed(moved) if each.event is Event.APPLIED and each.release == release]
    try:
        return declared_at(repository, [*commits, entry.commit][0], entry.environment, entry.model)
    except (InvalidFileError, NotFoundError):
        return None


def _flags(repository: Repository, entry: Entry, verified: Entry | None) -> Iterator[str]:
    if entry.event is Event.SHIFTED:
        why = entry.note or "without a note"
        yield f"the guard moved traffic away from {short(entry.release)}, which main declares: {why}"
    if entry.change is ChangeType.HOTFIX:
        yield "a hotfix: it skipped the environments before"
    if entry.beside:
        yield entry.beside
    freeze = freeze_at_merge(repository, entry.commit, entry.environment)
    if freeze:
        yield f"merged during the freeze “{freeze}”"
    if verified is None:
        yield "never verified by then"
    elif verified.verdict is not Verdict.PASS:
        yield f"its latest verification by then said {verified.verdict}: {verified.note or 'see its findings'}"


def freeze_at_merge(repository: Repository, commit: str, environment: str) -> str | None:
    """Return the name of the freeze that held when a commit was made, by the policy of that commit; None without."""
    try:
        text = repository.read(commit, layout.POLICY)
        policy = parse_yaml(text, Policy, source=layout.POLICY) if text else None
    except (InvalidFileError, NotFoundError):
        return None
    demands = policy.environment(environment) if policy else None
    held = frozen(demands.freeze, repository.info(commit).at) if demands else None
    return held.freeze.name if held else None
