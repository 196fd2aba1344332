"""Reconcile: what main declares and what runs become the same, in steps that are each safe to repeat.

Level-triggered: nothing is remembered between two runs but what git, the ledger and the target themselves say, so that
a run may be killed anywhere and the next one ends in the same place. What main wants is read in `desired`, what a run
leaves behind is written in `recording`; nothing that runs is removed because a file is missing, empty or unreadable.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.desired import SERVICE, Desired, desired, releases, verification_gates
from towpath_gitops.delivery.desired import wanted as wanted_of
from towpath_gitops.delivery.ledger import Entry
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.delivery.recording import Recorder
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import Shift, forget_decided, standing_shift
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Done, Failed, MakeTarget, Result, Step, Target, Waiting
from towpath_gitops.delivery.verification import Question, serving_digest, verify
from towpath_gitops.errors import (
    ConflictError,
    DeliveryError,
    DigestMismatchError,
    RefusedError,
    SignatureError,
    TowpathError,
    UnavailableError,
)
from towpath_gitops.history import newest_change
from towpath_gitops.promotion.signatures import signature_at, standing
from towpath_gitops.records.deployment import Experiment
from towpath_gitops.records.evidence import Evidence, Verdict
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

DEADLINE_S: Final = 180.0  # a cold start on a busy machine takes a minute


@dataclass(frozen=True)
class Outcome:
    """What one run of the reconciler found, did and proved."""

    environment: str
    model: str
    commit: str  # of main, that declares the release
    release: Release | None  # that serves now; None: nothing is declared, nothing was touched
    changed: bool = False  # something moved; False: everything was as declared
    evidence: Evidence | None = None
    verified_after_s: float = 0.0  # from the beginning of the run to the verification's end
    shift: Shift | None = None  # the guard's, which stands: `release` serves although main declares another
    entries: tuple[Entry, ...] = ()  # what the ledger learned
    steps: tuple[tuple[str, str], ...] = ()  # name and note of each step that did something
    notes: tuple[str, ...] = ()  # what did not work and does not matter to those who are served
    experiment: Experiment | None = None  # the challenger that is live beside the release

    @property
    def verdict(self) -> Verdict | None:
        """The verification's verdict; None when nothing is declared."""
        return self.evidence.verdict if self.evidence else None

    @property
    def beside(self) -> str:
        """What goes on with a sentence about the release: the challenger beside it; empty where there is none."""
        return f", beside it the {self.experiment}" if self.experiment else ""


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
        SignatureError: the release is not signed as main's policy asks; the release before still serves.
        RefusedError: main's history was rewritten.
        UncleanRepositoryError: git does not know who writes the ledger. Nothing was done.
        NotFoundError: main has no such environment file. Nothing was removed.
        InvalidFileError: the file cannot be read. Nothing was removed.
        LedgerError: the ledger's chain is broken. Nothing was done.
        UnavailableError: a part does not answer, or not before the deadline; the same command may succeed later.
        ConflictError: another reconciler took over, or main moved before the lease was taken.
    """
    try:
        repository.fetch()
        moves = moving(
            repository,
            registry,
            desired(repository, environment, model, accept_rewritten=accept_rewritten),
            clock=clock,
            deadline_s=deadline_s,
            targets=targets,
            progress=progress,
        )
        while True:
            sleep(next(moves))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    except OSError as error:
        raise not_moved(environment, model, error) from error


def not_moved(environment: str, model: str, error: OSError) -> UnavailableError:
    """Return the failure of a machine that will not do its part: a disk that is full, broken or not to be written."""
    return UnavailableError(
        f"{model} in {environment} could not be moved",
        why=str(error),
        hint=f"Make room, or let {layout.STATE}/ be written; then repeat: towpath reconcile",
    )


def moving(  # noqa: PLR0913 (as above)
    repository: Repository,
    registry: Registry,
    wanted: Desired,
    *,
    clock: Callable[[], datetime] = _now,
    deadline_s: float = DEADLINE_S,
    targets: Mapping[str, MakeTarget] = TARGETS,
    progress: Callable[[str], None] = _silent,
) -> Generator[float, None, Outcome]:
    """Move one place towards what is wanted, yielding the seconds to wait wherever there is nothing to do but wait.

    It never sleeps itself, so that many places may be moved in turns; the lease is held until it ends or is closed.
    Returns and raises as `reconcile` does.
    """
    began_s = time.monotonic()
    place = wanted.deployment
    if wanted.declared is None:
        note = "Nothing is declared; whatever runs was left alone."
        return Outcome(place.environment, place.model, wanted.commit, None, notes=(note,))
    repository.identity()  # the ledger names a witness: better asked for before anything moves than after
    target = targets[place.target.kind](repository, place)
    forget_decided(repository, wanted.declared)
    shift = standing_shift(repository, wanted.declared)
    run = _Run(repository, registry, wanted.declared, shift, target, clock, began_s, progress)
    with target.lease.held():
        _require_current(repository, wanted)
        yield from _drive(run, began_s + deadline_s)
        run.record()
        if shift is None:  # main is expected to follow: until it has, the registry goes on showing what main says
            run.recorder.publish(run.evidence, progress)
    return run.outcome()


def _require_current(repository: Repository, wanted: Desired) -> None:
    """Refuse to bring what was read before the lease was taken, when another has looked since: it may be newer."""
    place = wanted.deployment
    path = layout.environment_path(place.environment, place.model)
    if newest_change(repository, repository.main(), (path, SERVICE)) not in {wanted.commit, None}:
        raise ConflictError(
            f"main has moved while {place.model} in {place.environment} was waiting for its turn",
            why=f"It was about to bring what commit {wanted.commit[:12]} says. Nothing was done.",
            hint="Run the same command again.",
        )


def _drive(run: "_Run", until_s: float) -> Iterator[float]:
    """Run the steps in order, each until it is done; yield while one is under way."""
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
                yield result.retry_after_s
                result = step.run()
            if isinstance(result, Failed):
                raise result.error
            run.did(step.name, result)
    except (DeliveryError, DigestMismatchError, SignatureError) as error:
        with suppress(OSError, TowpathError):  # the failure itself is what must be heard
            run.recorder.failed(error)
        raise


@dataclass
class _Run:
    """One run of the reconciler: what it needs, and what it has found so far."""

    repository: Repository
    registry: Registry
    declared: Declared  # what serves, as main declares it; or as it did, while a shift stands against it
    shift: Shift | None
    target: Target
    clock: Callable[[], datetime]
    began_s: float
    progress: Callable[[str], None]
    changed: bool = False
    evidence: Evidence | None = None
    verified_after_s: float = 0.0
    done: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.against = self.declared
        self.wanted = wanted_of(self.repository, self.declared)
        if self.shift:
            self.declared = self.shift.to
            lanes = wanted_of(self.repository, self.declared).lanes
            self.wanted = replace(self.wanted, lanes=lanes, split=None)
        self.environment = self.declared.deployment.environment
        serving = serving_digest(self.repository.tree(self.wanted.commit, SERVICE) or "")
        self.recorder = Recorder(self.repository, self.registry, self.declared, serving, self.target.lease, self.clock)

    def steps(self) -> Iterable[Step]:
        return (
            Step("fetch", self._fetch),
            *self.target.steps(self.wanted),
            Step("verify", self._verify),
        )

    def did(self, name: str, result: Done) -> None:
        self.changed = self.changed or result.changed
        if result.changed:
            self.done.append((name, result.note))

    def outcome(self) -> Outcome:
        return Outcome(
            self.environment,
            self.declared.deployment.model,
            self.against.commit,
            self.declared.release,
            self.changed,
            self.evidence,
            self.verified_after_s,
            self.shift,
            tuple(self.recorder.entries),
            tuple(self.done),
            tuple(self.recorder.notes),
            self.declared.deployment.experiment if self.wanted.split else None,
        )

    def _fetch(self) -> Result:
        strategy = self.declared.deployment.rollout.strategy
        if strategy != "switch":
            return Failed(RefusedError(f"This target does not know rollout.strategy {strategy}", hint="Use: switch"))
        for _, release in releases(self.declared):
            self._require_signed(release)
            fetch_reviewed(self.registry, self.repository, release)
        return Done()

    def _require_signed(self, release: Release) -> None:
        main = self.repository.main()
        note = standing(self.repository, main, release, signature_at(self.repository, main, release)).note
        self.recorder.notes += [f"{release}: {note}"] if note else []

    def _verify(self) -> Result:
        question = Question(
            release=self.declared.release,
            environment=self.environment,
            artifact=layout.store(self.repository.root) / self.declared.release.artifact.removeprefix("sha256:"),
            gates=verification_gates(self.repository),
            before=self.recorder.answers_before(),
        )
        try:
            self.evidence = verify(self.target.ask, question, self.clock())
        except UnavailableError as error:
            return Waiting(str(error), retry_after_s=0.5)
        self.verified_after_s = time.monotonic() - self.began_s
        return Done()

    def record(self) -> None:
        """Write down that the release is applied and how it was verified.

        Raises:
            DeliveryError: the verification is not green.
        """
        evidence = self.evidence
        if evidence is None:
            raise AssertionError  # _drive has verified
        self.progress("record")
        if self.shift:
            news = () if self.shift.told else (self.shift.fact(self.against, self.clock()),)
            self.recorder.shifted(evidence, *news)
        else:
            self.recorder.served(evidence)
        if evidence.verdict is not Verdict.PASS:
            failed = [finding.message for finding in evidence.findings if finding.verdict is not Verdict.PASS]
            raise DeliveryError(
                f"{self.declared.release} fails its verification in {self.environment}",
                why="\n".join(failed),
                hint=f"Go back: towpath rollback --environment {self.environment}",
            )
