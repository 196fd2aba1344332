"""What a run of the reconciler leaves behind: lines in the ledger, and aliases and evidence in the registry.

Every write is fenced by the target's lease: who has lost it may not testify, and may not say in the registry what
serves where.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at
from towpath_gitops.delivery.desired import policy_of, terms
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.delivery.ledger import Entry, Event, Fact, Ledger
from towpath_gitops.delivery.registry import CHAMPION, Registry
from towpath_gitops.errors import ConflictError, InvalidFileError, TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Evidence, Verdict
from towpath_gitops.records.policy import Policy
from towpath_gitops.repository import Repository


@dataclass
class Recorder:
    """Writes down what became of one declaration in one place."""

    repository: Repository
    registry: Registry
    declared: Declared
    serving: str  # digest of the code that answers
    lease: Lease
    clock: Callable[[], datetime]
    entries: list[Entry] = field(default_factory=list)  # what the ledger learned
    notes: list[str] = field(default_factory=list)  # what did not work and does not matter to those who are served

    def __post_init__(self) -> None:
        """Open the ledger, and remember the place."""
        self.ledger = Ledger(self.repository)
        self.environment = self.declared.deployment.environment
        self.model = self.declared.deployment.model

    # --- the ledger --------------------------------------------------------------------------------------------

    def answers_before(self) -> str | None:
        """Return the answers' digest of this release here, from the latest green verification by the same code."""
        return self.ledger.answers(self.environment, self.model, self.declared.release.id, self.serving)

    def served(self, evidence: Evidence) -> None:
        """Write down that the release is applied, and how it was verified."""
        self._append(*self._superseded(), self._fact(Event.APPLIED), self._verified(evidence))

    def shifted(self, evidence: Evidence, *news: Fact) -> None:
        """Write down the news that this release serves in another's place, and how it was verified."""
        self._append(*news, self._verified(evidence))

    def failed(self, error: TowpathError) -> None:
        """Write down that the release could not be brought to serve."""
        note = "".join(character if character.isprintable() else " " for character in error.what)[:500]
        self._append(*self._superseded(), self._fact(Event.VERIFIED, verdict=Verdict.ERROR, note=note))

    def _append(self, *facts: Fact) -> None:
        with self.lease.writing():
            self.entries += self.ledger.append(*facts)

    def _verified(self, evidence: Evidence) -> Fact:
        found = {"verdict": evidence.verdict, "answers": evidence.details["answers"], "terms": terms(self.repository)}
        return self._fact(Event.VERIFIED, **found)

    def _fact(self, event: Event, **found: object) -> Fact:
        place = {"time": self.clock(), "event": event, "environment": self.environment, "model": self.model}
        facts = self.declared.facts() | {"commit": self.declared.commit, "serving": self.serving}
        return Fact.model_validate(place | facts | found)

    def _superseded(self) -> Iterator[Fact]:
        """Yield what main declared since the last entry and replaced before anybody applied it."""
        path = layout.environment_path(self.environment, self.model)
        latest = self.ledger.newest(self.environment, self.model)
        # Whatever lies before the latest entry was told when that was written.
        log = self.repository.log(self.declared.commit, since=latest.commit if latest else None, path=path)
        for commit in reversed([info.sha for info in log if info.sha != self.declared.commit]):
            if self.ledger.tells(self.environment, self.model, commit):
                continue
            declared = None
            with suppress(InvalidFileError):  # main held a broken file for a while
                declared = declared_at(self.repository, commit, self.environment, self.model)
            if declared:
                place = {"time": self.clock(), "event": Event.SUPERSEDED, "commit": commit}
                names = {"environment": self.environment, "model": self.model}
                yield Fact.model_validate(place | names | declared.facts())

    # --- the registry ------------------------------------------------------------------------------------------

    def publish(self, evidence: Evidence | None, progress: Callable[[str], None]) -> None:
        """Let the registry show what serves where. It only mirrors git: when it does not answer, nothing is lost.

        What was shown already is remembered, because asking MLflow takes seconds.

        Raises:
            ConflictError: the lease has passed to another process, which shows what is true now.
        """
        marker = shown_marker(self.repository.root, self.environment, self.model)
        try:
            names = aliases_of(policy_of(self.repository), self.environment)
            shown = shown_digest(self.registry, self.ledger.live(self.environment, self.model), names)
            if self.entries or not marker.exists() or marker.read_text() != shown:
                progress("publish")
                self._show(names, evidence)
                with self.lease.writing():  # who is late must not write over what another has shown since
                    write_atomically(marker, shown)
        except ConflictError:
            raise
        except TowpathError as error:
            marker.unlink(missing_ok=True)  # what was shown before is not all that should be shown now
            self.notes.append(f"The registry does not show it yet: {error.what}")

    def _show(self, names: Iterable[str], evidence: Evidence | None) -> None:
        aliases = self.registry.aliases(self.model)  # outside the lock: the first question to MLflow takes seconds
        if evidence:
            with self.lease.writing():
                self.registry.publish_evidence(self.declared.release, evidence)
        for name in names:
            if aliases.get(name) != self.declared.release.version:
                with self.lease.writing():
                    self.registry.set_alias(self.declared.release, name)


# --- what the registry was seen to show -----------------------------------------------------------------------------


def aliases_of(policy: Policy | None, environment: str) -> list[str]:
    """Return the aliases of what `environment` serves: its own name, and `champion` in the last one."""
    last = policy is not None and policy.last.name == environment
    return [environment, CHAMPION] if last else [environment]


def shown_marker(root: Path, environment: str, model: str) -> Path:
    """Return the file in which this clone remembers what it let the registry show."""
    return layout.state(root, "published", environment, model)


def shown_digest(registry: Registry, applied: Entry | None, names: Sequence[str]) -> str:
    """Return what the marker holds when a registry shows what was `applied` last under the aliases `names`.

    Of the ledger's entry, not of its release: one that comes back was shown before, and something else since.
    """
    return digest_of([registry.tracking_uri, applied.hash if applied else None, names])
