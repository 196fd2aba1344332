"""One pass over every place: those that serve what main declares are left alone, a bounded number of others is moved.

A place whose service says that it serves exactly what is declared, and of which the ledger testifies that it answered
as it should not long ago, is settled: nothing is written and no golden request is replayed. That entry of the ledger is
the record of it. All others are moved in turns, each as far as it can go without waiting, so that a slow or broken one
holds up nobody; those beyond the limit are pending, and come first in the next pass.
"""

import heapq
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, Field, NonNegativeInt

from towpath_gitops import layout
from towpath_gitops.delivery.desired import desired
from towpath_gitops.delivery.entries import REPEAT_AFTER
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.reconcile import DEADLINE_S, Outcome, moving, not_moved
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.survey import Place, Survey
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import MakeTarget
from towpath_gitops.errors import InvalidFileError, TowpathError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import Commit, Record
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import Repository

LIMIT: Final = 20  # places that are moved in one pass
OBSERVERS: Final = 8  # services that are asked at once
_LOT: Final = 16  # that one observer asks in a row: handing over costs more than asking
LAST: Final = "last-pass.json"


class Pass(Record):
    """`.towpath/last-pass.json`: what the last pass of this clone came to, for people, probes and the next pass."""

    time: AwareDatetime
    commit: Commit
    settled: NonNegativeInt
    moved: NonNegativeInt
    failed: NonNegativeInt
    pending: NonNegativeInt
    tried: dict[str, AwareDatetime] = Field(default_factory=dict)  # `environment/model` that failed → when, last


@dataclass(frozen=True)
class Swept:
    """What one pass found and did."""

    commit: str  # of main
    settled: tuple[Place, ...] = ()  # served as declared, and proved not long ago
    empty: tuple[Place, ...] = ()  # nothing is declared; whatever runs was left alone
    outcomes: tuple[Outcome, ...] = ()  # of those that were moved, or verified anew
    failures: tuple[tuple[Place, TowpathError], ...] = ()
    pending: tuple[Place, ...] = ()  # beyond the limit


@dataclass
class _Sorted:
    """The places by what is to be done with them."""

    settled: list[Place] = field(default_factory=list)
    empty: list[Place] = field(default_factory=list)
    failures: list[tuple[Place, TowpathError]] = field(default_factory=list)
    unsettled: list[Place] = field(default_factory=list)


def _now() -> datetime:
    return datetime.now(UTC)


def _silent(_: Place, __: str) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Sweeper:
    """Whoever makes passes over the places of one repository, or of one `environment`.

    `limit` is how many places one pass moves, `fresh` how long a green verification stands for itself. `progress` is
    called with the place and the name of each step before it runs.
    """

    repository: Repository
    registry: Registry
    environment: str | None = None
    limit: int = LIMIT
    observers: int = OBSERVERS
    fresh: timedelta = REPEAT_AFTER
    clock: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep
    deadline_s: float = DEADLINE_S
    targets: Mapping[str, MakeTarget] = field(default_factory=lambda: TARGETS)
    progress: Callable[[Place, str], None] = _silent
    accept_rewritten: bool = False

    def sweep(self) -> Swept:
        """Make one pass.

        What is wrong with one place is told in `failures`; raised is only what concerns them all.

        Raises:
            UncleanRepositoryError: there is no remote, or no main branch on it.
            NotFoundError, InvalidFileError: main has no policy, or a broken one. Nothing was touched.
            LedgerError: the ledger's branch was rewritten. Nothing was touched.
            UnavailableError: the remote does not answer, or the state folder cannot be written.
        """
        try:
            return self._swept()
        except OSError as error:
            raise UnavailableError(
                "The pass could not be made to its end",
                why=str(error),
                hint=f"Make room, or let {layout.STATE}/ be written; the next pass looks at every place again.",
            ) from error

    def _swept(self) -> Swept:
        self.repository.fetch()
        Ledger(self.repository).require_continuous()
        survey = Survey(self.repository, self.registry, self.fresh)
        found = self._sorted(survey)
        turn = self._in_turn(found.unsettled)
        outcomes, failures = self._move(turn[: self.limit])
        swept = Swept(
            survey.main,
            tuple(found.settled),
            tuple(found.empty),
            tuple(outcomes),
            (*found.failures, *failures),
            tuple(turn[self.limit :]),
        )
        self._remember(swept)
        return swept

    # --- looking -----------------------------------------------------------------------------------------------

    def _sorted(self, survey: Survey) -> _Sorted:
        found, proved, now = _Sorted(), list[Place](), self.clock()
        for place in survey.places:
            if self.environment not in {None, place.environment}:
                continue
            try:
                if survey.deployment(place).release is None:
                    found.empty.append(place)
                elif survey.is_proved(place, now):
                    proved.append(place)
                else:
                    found.unsettled.append(place)
            except TowpathError as error:
                found.failures.append((place, error))
        with ThreadPoolExecutor(self.observers) as pool:
            lots = [proved[start : start + _LOT] for start in range(0, len(proved), _LOT)]
            for lot in pool.map(lambda lot: [(place, self._serves(survey, place)) for place in lot], lots):
                for place, serves in lot:
                    (found.settled if serves else found.unsettled).append(place)
        return found

    def _serves(self, survey: Survey, place: Place) -> bool:
        wanted = survey.wanted(place)
        try:
            return self.targets[wanted.deployment.target.kind](self.repository, wanted.deployment).serves(wanted)
        except (OSError, TowpathError):  # whoever moves it will say what is wrong
            return False

    def _in_turn(self, places: Sequence[Place]) -> list[Place]:
        """Return the places that did not fail before in their order, then the others, longest untried first."""
        before = self._last()
        never = datetime.min.replace(tzinfo=UTC)
        tried = before.tried if before else {}
        return sorted(places, key=lambda place: tried.get("/".join(place), never))

    # --- moving ------------------------------------------------------------------------------------------------

    def _move(self, places: Sequence[Place]) -> tuple[list[Outcome], list[tuple[Place, TowpathError]]]:
        """Move places in turns: whoever waits lets the others go on."""
        outcomes: list[Outcome] = []
        failures: list[tuple[Place, TowpathError]] = []
        waiting = [(0.0, number, place, self._moving(place)) for number, place in enumerate(places)]
        try:
            while waiting:
                ready_s, number, place, moves = heapq.heappop(waiting)
                try:
                    self.sleep(max(0.0, ready_s - time.monotonic()))
                    heapq.heappush(waiting, (time.monotonic() + next(moves), number, place, moves))
                except StopIteration as ended:
                    outcomes.append(ended.value)
                except TowpathError as error:
                    failures.append((place, error))
                except OSError as error:  # the state folder is full, or not to be written
                    failures.append((place, not_moved(*place, error)))
        finally:
            for *_, moves in waiting:
                moves.close()  # stopped in the middle: each gives its lease back
        return outcomes, failures

    def _moving(self, place: Place) -> Generator[float, None, Outcome]:
        outcome = yield from moving(
            self.repository,
            self.registry,
            desired(self.repository, *place, accept_rewritten=self.accept_rewritten),
            clock=self.clock,
            deadline_s=self.deadline_s,
            targets=self.targets,
            progress=lambda step: self.progress(place, step),
        )
        return outcome

    # --- remembering -------------------------------------------------------------------------------------------

    def _last(self) -> Pass | None:
        path = layout.state(self.repository.root, LAST)
        try:
            return parse_json(path.read_bytes(), Pass, source=str(path))
        except (OSError, InvalidFileError):  # it only says who comes first
            return None

    def _remember(self, swept: Swept) -> None:
        now = self.clock()
        before = self._last()
        kept = {"/".join(place) for place in swept.pending}
        tried = {name: at for name, at in (before.tried if before else {}).items() if name in kept}
        tried |= {"/".join(place): now for place, _ in swept.failures}
        said = Pass(
            time=now,
            commit=swept.commit,
            settled=len(swept.settled) + len(swept.empty),
            moved=len(swept.outcomes),
            failed=len(swept.failures),
            pending=len(swept.pending),
            tried=tried,
        )
        write_atomically(layout.state(self.repository.root, LAST), said.model_dump_json() + "\n")
