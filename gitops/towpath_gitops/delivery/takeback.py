"""Taking a release back: intent, traffic, ledger, pull request, in this order, each safe to repeat.

Killed anywhere and run again it ends in the same place: `shifted` says what was begun, and every effect looks before it
acts. Traffic comes first, because users are harmed; main follows by a pull request, because people decide what it says.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from towpath_gitops import layout
from towpath_gitops.delivery.athand import AtHand
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.desired import SERVICE, verification_gates, wanted
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.delivery.recording import Recorder
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import Intent, Shift, forget_intent, read_intent, write_intent
from towpath_gitops.delivery.targets.base import Failed, Step, Target, Waiting
from towpath_gitops.delivery.verification import Question, serving_digest, verify
from towpath_gitops.errors import DeliveryError, DigestMismatchError, SignatureError, UnavailableError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion.branches import place_of
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.promotion.safety import Return, safe_returns
from towpath_gitops.promotion.signatures import signature_at, standing
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.pointer import LaneName
from towpath_gitops.records.release import Release

_LONGEST: Final = 480  # characters of a reason, which is one line


@dataclass(frozen=True)
class TakeBack:
    """What it takes to take back what main declares for one place."""

    desk: Desk
    registry: Registry
    declared: Declared
    target: Target
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    deadline_s: float
    progress: Callable[[str], None]

    @property
    def _place(self) -> tuple[str, str]:
        return self.declared.deployment.environment, self.declared.deployment.model

    @property
    def serving(self) -> str:
        """The digest of the code that answers."""
        repository = self.desk.repository
        return serving_digest(repository.tree(self.declared.commit, SERVICE) or "")

    def question(self, release: Release, lane: LaneName = "champion") -> Question:
        """Return what to ask a lane that should answer with a release, whose files are fetched if need be."""
        environment, model = self._place
        repository = self.desk.repository
        return Question(
            release=release,
            environment=environment,
            artifact=self.registry.fetch(release, layout.store(repository.root)),
            gates=verification_gates(repository),
            before=Ledger(repository).answers(environment, model, release.id, self.serving),
            lane=lane,
        )

    # --- the effects, in their order ---------------------------------------------------------------------------

    def intend(self, figures: str) -> tuple[Return, ...] | None:
        """Write down where traffic goes: to the release that was verified here last and is safe to return to.

        Returns those that are not safe, with their reasons, when none is: nothing is written then. None otherwise.
        """
        desk = Desk(self.desk.repository, self.desk.forge, AtHand(self.registry), self.desk.history)
        found = safe_returns(desk, self.declared.deployment)
        safe = next((candidate.release for candidate in found if not candidate.reasons), None)
        if safe is None:
            return tuple(found)
        self.progress("intend")
        release = self.declared.release.id
        intent = Intent(
            release=release, commit=self.declared.commit, to=safe.id, since=self.clock(), figures=figures[:_LONGEST]
        )
        write_intent(self.desk.repository.root, *self._place, intent)
        return None

    def move(self, shift: Shift) -> None:
        """Move all traffic, prove that it arrived, and write it down.

        Raises:
            DeliveryError, DigestMismatchError, SignatureError: the other release cannot be loaded, or may not. Traffic
                is where it was, the ledger says so, and the intent is given up.
            UnavailableError: another process moves the target, or the service does not follow, before the deadline.
        """
        until_s = time.monotonic() + self.deadline_s
        recorder = Recorder(self.desk.repository, self.registry, shift.to, self.serving, self.target.lease, self.clock)
        release = shift.to.release
        with self._lease(until_s):
            try:
                self._fetch(release)
                for step in self.target.shift(wanted(self.desk.repository, shift.to).lanes["champion"]):
                    self._finish(step, until_s)
            except (DeliveryError, DigestMismatchError, SignatureError) as error:
                recorder.failed(error)
                forget_intent(self.desk.repository.root, *self._place)
                raise
            self.progress("verify")
            evidence = verify(partial(self.target.ask, lane="champion"), self.question(release), self.clock())
            self.progress("record")
            recorder.shifted(evidence, shift.fact(self.declared, self.clock()))

    def ask_main(self, shift: Shift) -> Pull | None:
        """Return the pull request that asks main to follow: the one that is open, or a new one.

        None once a person has closed it unmerged: they were asked, and asking again would be nagging.
        """
        environment, model = self._place
        root = self.desk.repository.root
        intent = read_intent(root, environment, model)
        if intent is None or (intent.release, intent.commit) != (shift.release, shift.commit):
            figures = shift.figures or "the guard moved traffic away"
            intent = Intent(
                release=shift.release, commit=shift.commit, to=shift.to.release.id, since=shift.since, figures=figures
            )
        known = self.desk.forge.get(intent.pull) if intent.pull else None
        if known and known.state is not State.OPEN:
            return None
        pull = known or self._open_pull() or self._propose(intent, shift.to.release)
        if pull.number != intent.pull:
            write_intent(root, environment, model, intent.model_copy(update={"pull": pull.number}))
        return pull

    def _open_pull(self) -> Pull | None:
        """Return the open rollback of this place, whoever proposed it: theirs is as good as ours."""
        wanted = (ChangeType.ROLLBACK, *self._place)
        return next((pull for pull in self.desk.forge.list(State.OPEN) if place_of(pull.branch) == wanted), None)

    def _propose(self, intent: Intent, to: Release) -> Pull:
        self.progress("propose")
        environment, model = self._place
        reason = f"The guard took it back: {intent.figures}"[:_LONGEST]
        return propose_rollback(self.desk, environment=environment, model=model, reason=reason, to=to)

    def _fetch(self, release: Release) -> None:
        """Have the files of a release here, signed as main asks today."""
        repository = self.desk.repository
        main = repository.main()
        standing(repository, main, release, signature_at(repository, main, release))
        fetch_reviewed(self.registry, repository, release)

    # --- waiting -----------------------------------------------------------------------------------------------

    def _finish(self, step: Step, until_s: float) -> None:
        """Run a step until it is done."""
        self.progress(step.name)
        result = step.run()
        while isinstance(result, Waiting):
            if time.monotonic() > until_s:
                raise UnavailableError(
                    "Traffic is not moved yet", why=f"Still waiting for {result.reason}.", hint="towpath guard"
                )
            self.sleep(result.retry_after_s)
            result = step.run()
        if isinstance(result, Failed):
            raise result.error

    @contextmanager
    def _lease(self, until_s: float) -> Iterator[None]:
        """Hold the lease, after whoever holds it now."""
        while True:
            try:
                self.target.lease.acquire()
                break
            except UnavailableError:
                if time.monotonic() > until_s:
                    raise
                self.sleep(0.2)
        try:
            yield
        finally:
            self.target.lease.release()
