"""Reconcile: what main declares and what runs become the same, in steps that are each safe to repeat.

Level-triggered: nothing is remembered between two runs but what git, the ledger and the target themselves say, so that
a run may be killed anywhere and the next one ends in the same place. Only a merged commit is ever obeyed, and nothing
that runs is removed because a file is missing, empty or unreadable.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at, read_deployment
from towpath_gitops.delivery.ledger import Entry, Event, Fact, Ledger
from towpath_gitops.delivery.registry import CHAMPION, Registry
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Done, Failed, MakeTarget, Result, Step, Target, Waiting, Wanted
from towpath_gitops.delivery.verification import Question, serving_digest, verify
from towpath_gitops.errors import (
    DeliveryError,
    DigestMismatchError,
    InvalidFileError,
    NotFoundError,
    RefusedError,
    TowpathError,
    UnavailableError,
)
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, gate_digest
from towpath_gitops.records.parsing import load_yaml, parse_yaml
from towpath_gitops.records.pointer import LaneName, LanePointer, Split
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

DEADLINE_S: Final = 180.0  # a cold start on a busy machine takes a minute
_SERVICE = "bento"  # the folder of main whose code serves


@dataclass(frozen=True)
class Outcome:
    """What one run of the reconciler found, did and proved."""

    environment: str
    model: str
    commit: str  # of main, that declares the release
    release: Release | None  # None: nothing is declared, nothing was touched
    changed: bool = False  # something moved; False: everything was as declared
    evidence: Evidence | None = None
    verified_after_s: float = 0.0  # from the beginning of the run to the verification's end
    entries: tuple[Entry, ...] = ()  # what the ledger learned
    steps: tuple[tuple[str, str], ...] = ()  # name and note of each step that did something
    notes: tuple[str, ...] = ()  # what did not work and does not matter to those who are served

    @property
    def verdict(self) -> Verdict | None:
        """The verification's verdict; None when nothing is declared."""
        return self.evidence.verdict if self.evidence else None


def _now() -> datetime:
    return datetime.now(UTC)


def _silent(_: str) -> None:
    """Show no progress."""


def reconcile(  # noqa: PLR0913 (what a test must be able to replace is named, not patched)
    repository: Repository,
    registry: Registry,
    environment: str,
    model: str,
    *,
    clock: Callable[[], datetime] = _now,
    sleep: Callable[[float], None] = time.sleep,
    deadline_s: float = DEADLINE_S,
    targets: Mapping[str, MakeTarget] = TARGETS,
    progress: Callable[[str], None] = _silent,
    accept_rewritten: bool = False,
) -> Outcome:
    """Make `environment` serve what main declares for `model`, verify it, and write it down.

    `progress` is called with the name of each step before it runs. `accept_rewritten` follows a main branch whose
    history no longer holds the commit that was applied last.

    Raises:
        DeliveryError: the release cannot be loaded, in which case the one before still serves, or fails its
            verification; the ledger holds the red verdict.
        DigestMismatchError: the registry's bytes are not those approved; the release before still serves.
        RefusedError: main's history was rewritten.
        UncleanRepositoryError: git does not know who writes the ledger. Nothing was done.
        NotFoundError: main has no such environment file. Nothing was removed.
        InvalidFileError: the file cannot be read. Nothing was removed.
        LedgerError: the ledger's chain is broken. Nothing was done.
        UnavailableError: a part does not answer, or not before the deadline; the same command may succeed later.
        ConflictError: another reconciler took over.
    """
    began_s = time.monotonic()
    repository.fetch()
    declared, deployment, commit = _read(repository, environment, model, accept_rewritten=accept_rewritten)
    if declared is None:
        return Outcome(environment, model, commit, None, notes=("Nothing is declared; whatever runs was left alone.",))
    repository.identity()  # the ledger names a witness: better asked for before anything moves than after
    target = targets[deployment.target.kind](repository, deployment)
    run = _Run(repository, registry, declared, target, clock, began_s, progress)
    with target.lease.held():
        _drive(run, sleep, began_s + deadline_s)
        run.record()
    run.publish()
    return run.outcome()


def _read(
    repository: Repository, environment: str, model: str, *, accept_rewritten: bool
) -> tuple[Declared | None, Deployment, str]:
    """Return what main declares, its environment file, and the commit of main that says so."""
    main = repository.main()
    ledger = Ledger(repository)
    ledger.require_continuous()
    live = ledger.live(environment, model)
    history = {info.sha for info in repository.log(main)}
    if live and live.commit not in history and not accept_rewritten:
        raise RefusedError(
            f"main's history was rewritten: {live.commit[:12]}, applied last to {environment}, is not in it",
            why="Only what follows from an applied commit was reviewed.",
            hint="Find out who pushed by force. To follow the new history: towpath reconcile --accept-rewritten",
        )
    deployment = read_deployment(repository, main, environment, model)
    if deployment is None:
        raise NotFoundError(
            f"main has no {layout.environment_path(environment, model)}",
            why="A missing file never removes anything: whatever runs was left alone.",
            hint="Restore it: git revert the commit that removed it.",
        )
    commit = _declaring_commit(repository, main, layout.environment_path(environment, model))
    return declared_at(repository, commit, environment, model), deployment, commit


def _declaring_commit(repository: Repository, main: str, path: str) -> str:
    """Return the newest commit of main that changed what is served: the environment's file or the service's code."""
    commits = [log[0].sha for log in (repository.log(main, path=place) for place in (path, _SERVICE)) if log]
    newer, older = commits[0], commits[-1]
    return older if repository.is_ancestor(newer, older) else newer


def _drive(run: "_Run", sleep: Callable[[float], None], until_s: float) -> None:
    """Run the steps in order, each until it is done; only here is time spent waiting."""
    try:
        for step in run.steps():
            run.progress(step.name)
            result = step.run()
            while isinstance(result, Waiting):
                if time.monotonic() > until_s:
                    raise UnavailableError(
                        f"{run.declared.release} is not yet live in {run.environment}",
                        why=f"Still waiting for {result.reason}.",
                        hint="Look at it with `towpath status`, then repeat: towpath reconcile",
                    )
                sleep(result.retry_after_s)
                result = step.run()
            if isinstance(result, Failed):
                raise result.error
            run.did(step.name, result)
    except (DeliveryError, DigestMismatchError) as error:
        with suppress(TowpathError):  # the failure itself is what must be heard
            run.record_failure(error)
        raise


@dataclass
class _Run:
    """One run of the reconciler: what it needs, and what it has found so far."""

    repository: Repository
    registry: Registry
    declared: Declared
    target: Target
    clock: Callable[[], datetime]
    began_s: float
    progress: Callable[[str], None]
    changed: bool = False
    evidence: Evidence | None = None
    verified_after_s: float = 0.0
    entries: list[Entry] = field(default_factory=list)
    done: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.repository)
        self.environment = self.declared.deployment.environment
        self.model = self.declared.deployment.model
        self.serving = serving_digest(self.repository.tree(self.declared.commit, _SERVICE) or "")

    def steps(self) -> Iterable[Step]:
        return (
            Step("fetch", self._fetch),
            *self.target.steps(self._wanted()),
            Step("verify", self._verify),
        )

    def did(self, name: str, result: Done) -> None:
        self.changed = self.changed or result.changed
        if result.changed:
            self.done.append((name, result.note))

    def outcome(self) -> Outcome:
        return Outcome(
            self.environment,
            self.model,
            self.declared.commit,
            self.declared.release,
            self.changed,
            self.evidence,
            self.verified_after_s,
            tuple(self.entries),
            tuple(self.done),
            tuple(self.notes),
        )

    # --- steps -------------------------------------------------------------------------------------------------

    def _releases(self) -> Iterator[tuple[LaneName, Release]]:
        yield "champion", self.declared.release
        experiment = self.declared.deployment.experiment
        if experiment:
            lane: LaneName = "shadow" if experiment.mode == "shadow" else "challenger"
            yield lane, experiment.challenger.release(self.model)

    def _wanted(self) -> Wanted:
        store = layout.store(self.repository.root).absolute()
        lanes = {
            lane: LanePointer(
                release=release.id,
                artifact=release.artifact,
                path=str(store / release.artifact.removeprefix("sha256:")),
            )
            for lane, release in self._releases()
        }
        experiment = self.declared.deployment.experiment
        split = None
        if experiment:
            split = Split(mode=experiment.mode, share=experiment.share, salt=experiment.challenger.id)
        return Wanted(self.declared.deployment, self.declared.commit, lanes, split)

    def _fetch(self) -> Result:
        strategy = self.declared.deployment.rollout.strategy
        if strategy != "switch":
            return Failed(RefusedError(f"This target does not know rollout.strategy {strategy}", hint="Use: switch"))
        store = layout.store(self.repository.root).absolute()
        for _, release in self._releases():
            self.registry.fetch(release, store)
        return Done()

    def _verify(self) -> Result:
        question = Question(
            release=self.declared.release,
            environment=self.environment,
            artifact=layout.store(self.repository.root) / self.declared.release.artifact.removeprefix("sha256:"),
            gates=self._gates(),
            before=self._answers_before(),
        )
        try:
            self.evidence = verify(self.target.ask, question, self.clock())
        except UnavailableError as error:
            return Waiting(str(error), retry_after_s=0.5)
        self.verified_after_s = time.monotonic() - self.began_s
        return Done()

    def _gates(self) -> str:
        text = self.repository.read(self.repository.main(), layout.MODEL)
        document = load_yaml(text, source=layout.MODEL) if text else {}
        return gate_digest(document if isinstance(document, Mapping) else {}, Kind.VERIFICATION)

    def _answers_before(self) -> str | None:
        """Return the answers' digest of this release here, from the latest green verification by the same code."""
        wanted = (Event.VERIFIED, self.declared.release.id, self.serving, Verdict.PASS)
        for entry in reversed(self.ledger.entries(self.environment, self.model)):
            if (entry.event, entry.release, entry.serving, entry.verdict) == wanted:
                return entry.answers
        return None

    # --- writing down ------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Write down that the release is applied and how it was verified.

        Raises:
            DeliveryError: the verification is not green.
        """
        evidence = self.evidence
        if evidence is None:
            raise AssertionError  # _drive has verified
        self.progress("record")
        verified = self._fact(Event.VERIFIED, verdict=evidence.verdict, answers=evidence.details["answers"])
        with self.target.lease.writing():  # who has lost the lease may not testify either
            self.entries += self.ledger.append(*self._superseded(), self._fact(Event.APPLIED), verified)
        if evidence.verdict is not Verdict.PASS:
            failed = [finding.message for finding in evidence.findings if finding.verdict is not Verdict.PASS]
            raise DeliveryError(
                f"{self.declared.release} fails its verification in {self.environment}",
                why="\n".join(failed),
                hint=f"Go back: towpath rollback --environment {self.environment}",
            )

    def record_failure(self, error: TowpathError) -> None:
        """Write down that the release could not be brought to serve."""
        note = "".join(character if character.isprintable() else " " for character in error.what)[:500]
        fact = self._fact(Event.VERIFIED, verdict=Verdict.ERROR, note=note)
        self.entries += self.ledger.append(*self._superseded(), fact)

    def _fact(self, event: Event, **found: object) -> Fact:
        place = {"time": self.clock(), "event": event, "environment": self.environment, "model": self.model}
        facts = self.declared.facts() | {"commit": self.declared.commit, "serving": self.serving}
        return Fact.model_validate(place | facts | found)

    def _superseded(self) -> Iterator[Fact]:
        """Yield what main declared since the last entry and replaced before anybody applied it."""
        entries = self.ledger.entries(self.environment, self.model)
        told = {entry.commit for entry in entries if entry.event is not Event.VERIFIED}
        path = layout.environment_path(self.environment, self.model)
        log = self.repository.log(self.declared.commit, path=path)
        for commit in reversed([info.sha for info in log if info.sha not in {*told, self.declared.commit}]):
            declared = None
            with suppress(InvalidFileError):  # main held a broken file for a while
                declared = declared_at(self.repository, commit, self.environment, self.model)
            if declared:
                place = {"time": self.clock(), "event": Event.SUPERSEDED, "commit": commit}
                names = {"environment": self.environment, "model": self.model}
                yield Fact.model_validate(place | names | declared.facts())

    def publish(self) -> None:
        """Let the registry show what serves where. It only mirrors git: when it does not answer, nothing is lost.

        What was shown already is remembered, because asking MLflow takes seconds.
        """
        marker = layout.state(self.repository.root, "published", self.environment, self.model)
        try:
            names = self._aliases()
            shown = digest_of([self.registry.tracking_uri, self.declared.release.id, names])
            if self.entries or not marker.exists() or marker.read_text() != shown:
                self.progress("publish")
                self._publish(names)
                write_atomically(marker, shown)
        except TowpathError as error:
            self.notes.append(f"The registry does not show it yet: {error.what}")

    def _publish(self, names: Iterable[str]) -> None:
        if self.evidence:
            self.registry.publish_evidence(self.declared.release, self.evidence)
        aliases = self.registry.aliases(self.model)
        for name in names:
            if aliases.get(name) != self.declared.release.version:
                self.registry.set_alias(self.declared.release, name)

    def _aliases(self) -> list[str]:
        text = self.repository.read(self.repository.main(), layout.POLICY)
        policy = parse_yaml(text, Policy, source=layout.POLICY) if text else None
        last = policy is not None and policy.last.name == self.environment
        return [self.environment, CHAMPION] if last else [self.environment]
