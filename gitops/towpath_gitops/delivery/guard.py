"""The guard: it watches what is live, and takes a release back that does harm.

Each look asks the service who it is, replays its golden requests and reads what it has counted; the last few looks
are judged by the policy's `guard`. A release that fails is taken back once for each time that main declares it: traffic
moves at once to the last safe release, and a pull request asks main to follow. Until it does, environment and main are
DIVERGED. Somebody who promotes the release again has decided, knowing what happened, and the guard watches anew.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.desired import desired, releases
from towpath_gitops.delivery.incident import Alert, Incident, What, tell
from towpath_gitops.delivery.observations import Observations, elsewhere, observe
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import Shift, forget_decided, standing_shift
from towpath_gitops.delivery.takeback import TakeBack
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import MakeTarget
from towpath_gitops.delivery.windows import Judgement, is_due, judge, windows
from towpath_gitops.errors import (
    ConflictError,
    DeliveryError,
    DigestMismatchError,
    SignatureError,
    TowpathError,
    UnavailableError,
)
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import declared as promotions
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.pointer import LaneName
from towpath_gitops.records.policy import Guard
from towpath_gitops.records.release import Release

DEADLINE_S: Final = 60.0


class State(StrEnum):
    """What the guard found to do."""

    UNGUARDED = "unguarded"  # the policy has no guard there
    UNDECLARED = "undeclared"  # main declares no release there
    WATCHING = "watching"
    DIVERGED = "DIVERGED"  # traffic was moved; main has yet to follow


@dataclass(frozen=True)
class Look:
    """What one look of the guard found and did."""

    environment: str
    model: str
    state: State
    release: Release | None = None  # that serves, and is watched
    judgements: Mapping[LaneName, Judgement] = field(default_factory=dict)
    shift: Shift | None = None
    pull: int | None = None
    incidents: tuple[Incident, ...] = ()
    told: bool = False  # whether people were told of one of them now
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """What the last windows say of the release that serves; None when nothing is watched."""
        judgement = self.judgements.get("champion")
        return judgement.verdict if judgement else None


def _now() -> datetime:
    return datetime.now(UTC)


def _nobody(_: Incident) -> bool:
    """Tell nobody."""
    return False


def _silent(_: str) -> None:
    """Show no progress."""


def guard(  # noqa: PLR0913 (what a test must be able to replace is named, not patched)
    desk: Desk,
    registry: Registry,
    environment: str,
    model: str,
    *,
    alert: Alert = _nobody,
    clock: Callable[[], datetime] = _now,
    sleep: Callable[[float], None] = time.sleep,
    deadline_s: float = DEADLINE_S,
    targets: Mapping[str, MakeTarget] = TARGETS,
    progress: Callable[[str], None] = _silent,
) -> Look:
    """Look once at what serves in `environment`, judge it by its last windows, and take it back if it does harm.

    `progress` is called with the name of each effect before it happens. It goes on without the remote, with what this
    clone fetched last: moving traffic needs nobody else. What could not be written down or proposed is so by the next
    look.

    Raises:
        UnavailableError: the service, the remote or the forge does not answer; the same command may succeed later.
        UncleanRepositoryError: git does not know who writes the ledger. Nothing was done.
        NotFoundError, InvalidFileError: main's policy or environment file is missing or broken.
        LedgerError: the ledger's chain is broken.
    """
    repository = desk.repository
    notes = _fetch(desk)
    demands = promotions.policy(repository, repository.main()).environment(environment)
    if demands is None or demands.guard is None:
        return Look(environment, model, State.UNGUARDED, notes=notes)
    found = desired(repository, environment, model)
    if found.declared is None:
        return Look(environment, model, State.UNDECLARED, notes=notes)
    if demands.guard.automatic:
        repository.identity()  # the ledger names a witness: better asked for before anything moves than after
    target = targets[found.deployment.target.kind](repository, found.deployment)
    back = TakeBack(desk, registry, found.declared, target, clock, sleep, deadline_s, progress)
    return _Watch(back, demands.guard, alert, list(notes)).look()


def _fetch(desk: Desk) -> tuple[str, ...]:
    try:
        desk.repository.fetch()
    except UnavailableError as error:
        return (f"Going on with what this clone knows: {error.what}",)
    return ()


@dataclass
class _Watch:
    """One look at one place."""

    back: TakeBack
    limits: Guard
    alert: Alert
    notes: list[str]
    incidents: list[Incident] = field(default_factory=list)
    judgements: dict[LaneName, Judgement] = field(default_factory=dict)
    unseen: str = ""  # why nothing was seen of the service

    def __post_init__(self) -> None:
        self.declared: Declared = self.back.declared
        self.environment, self.model = self.declared.deployment.environment, self.declared.deployment.model
        self.repository = self.back.desk.repository

    def look(self) -> Look:
        forget_decided(self.repository, self.declared)
        shift = standing_shift(self.repository, self.declared)
        if shift and not shift.told:  # begun by a look that was cut short
            shift = self._move(shift)
        serving = shift.to.release if shift else self.declared.release
        self._judge(serving, shift)
        if shift is None and self._fails("champion"):
            shift = self._respond(self.judgements["champion"])
        elif shift and self._fails("champion"):
            self._strand(serving, self.judgements["champion"].figures, "Traffic was moved to it.")
        pull = self._follow(shift) if shift else None
        told = [self._tell(incident) for incident in self.incidents]
        if self.unseen and not self.incidents:
            raise UnavailableError(
                f"{self.model} in {self.environment} cannot be judged now", why=self.unseen, hint="towpath reconcile"
            )
        return Look(
            self.environment,
            self.model,
            State.DIVERGED if shift else State.WATCHING,
            shift.to.release if shift else serving,
            self.judgements,
            shift,
            pull.number if pull else None,
            tuple(self.incidents),
            any(told),
            tuple(self.notes),
        )

    # --- looking -----------------------------------------------------------------------------------------------

    def _judge(self, serving: Release, shift: Shift | None) -> None:
        """Look at the service, unless a window is still open, and judge what serves by the last windows."""
        now, commit = self.back.clock(), self.declared.commit
        lanes: dict[LaneName, Release] = {"champion": serving} if shift else dict(releases(self.declared))
        store = Observations.of(self.repository.root, self.environment, self.model)
        kept = store.read()
        known = bool(kept) and all(kept[-1].watches(lane, release.id, commit) for lane, release in lanes.items())
        if not known or is_due(kept, now, self.limits.window):
            questions = [self.back.question(release, lane) for lane, release in lanes.items()]
            self.unseen = elsewhere(self.back.target.observe(), questions)
            if self.unseen:
                self.notes.append(f"Nothing was seen: {self.unseen}.")
                return
            kept = store.add(observe(self.back.target, questions, commit, now), windows=self.limits.of)
        else:
            self.notes.append("The window is still open; nothing new was seen.")
        for lane, release in lanes.items():
            self.judgements[lane] = judge(windows(kept, lane, release.id, commit, now), self.limits)
            if lane != "champion" and self._fails(lane):
                self._report(
                    What.CHALLENGER,
                    release,
                    f"The {lane} breaks the limits of {self.environment}",
                    self.judgements[lane].figures,
                    f"towpath experiment stop --environment {self.environment}",
                )

    def _fails(self, lane: LaneName) -> bool:
        judgement = self.judgements.get(lane)
        return judgement is not None and judgement.verdict is Verdict.FAIL

    # --- acting ------------------------------------------------------------------------------------------------

    def _respond(self, judgement: Judgement) -> Shift | None:
        """Take the release back, or ask a person to; return the shift that stands now."""
        release = self.declared.release
        if not self.limits.automatic:
            self._report(
                What.BREACH,
                release,
                f"{release} does harm in {self.environment}",
                judgement.figures,
                f"towpath rollback --environment {self.environment}",
            )
            return None
        unsafe = self.back.intend(judgement.figures)
        shift = standing_shift(self.repository, self.declared)
        if shift is None:
            why = " ".join(f"{back.release}: {reason}" for back in unsafe or () for reason in back.reasons)
            self._strand(release, judgement.figures, why or "No other release was ever verified here.")
            return None
        return self._move(shift)

    def _move(self, shift: Shift) -> Shift | None:
        """Move traffic; where that cannot be done, or not be written down yet, the next look goes on."""
        try:
            self.back.move(shift)
        except (DeliveryError, DigestMismatchError, SignatureError) as error:
            self._strand(self.declared.release, shift.figures, error.what)
            return None
        except (UnavailableError, ConflictError) as error:
            self.notes.append(f"Not finished: {error.what}. The next look goes on with it.")
            return shift
        return replace(shift, told=True)

    def _follow(self, shift: Shift) -> Pull | None:
        """Ask main to follow, and tell people; what the forge refuses now is asked again at the next look."""
        pull = None
        try:
            pull = self.back.ask_main(shift)
        except TowpathError as error:
            self.notes.append(f"No pull request yet: {error.what}. The next look tries again.")
        follow = f"towpath review {pull.number}" if pull else f"towpath rollback --environment {self.environment}"
        self._report(
            What.SHIFTED,
            self.declared.release,
            f"{self.environment} has DIVERGED: the guard took {self.declared.release} back, {shift.to.release} serves",
            shift.figures,
            follow,
            since=shift.since,
            pull=pull,
        )
        return pull

    def _strand(self, release: Release, figures: str, why: str) -> None:
        self._report(
            What.STRANDED,
            release,
            f"{release} does harm in {self.environment}, and there is nowhere to move traffic to. {why}",
            figures,
            f"towpath promote latest --to {self.environment}",
        )

    def _report(  # noqa: PLR0913 (an incident has many sides)
        self,
        what: What,
        release: Release,
        summary: str,
        figures: str,
        command: str,
        *,
        since: datetime | None = None,
        pull: Pull | None = None,
    ) -> None:
        now, version = self.back.clock(), self.back.target.observe().version
        judgement = self.judgements.get("champion")
        begins = judgement.windows[0].begins if judgement and judgement.windows else now
        self.incidents.append(
            Incident(
                what=what,
                environment=self.environment,
                model=self.model,
                release=release.id,
                serving=version.release if version else None,
                commit=self.declared.commit,
                since=since or begins,
                at=now,
                summary=_line(summary),
                figures=_line(figures) or "nothing was measured",
                pull=pull.number if pull else None,
                command=command,
            )
        )

    def _tell(self, incident: Incident) -> bool:
        self.back.progress("alert")
        return tell(self.repository.root, incident, self.alert, self.back.clock())


def _line(text: str) -> str:
    """Return words of many kinds as one line."""
    return "".join(character if character.isprintable() else " " for character in text)[:500].strip()
