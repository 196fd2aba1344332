"""A shift: the guard has moved traffic away from what main declares, and that stands until main decides again.

It is written down twice, in the order in which it happens: as an intent in this clone before anything moves, and in the
ledger once traffic has moved. Whoever comes after a crash between the two finishes it, be it the guard or a reconcile,
and neither swings traffic back to the release that did harm.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, PositiveInt

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at
from towpath_gitops.delivery.ledger import Event, Fact, Ledger
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import Commit, Digest, Line, Record
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import Repository

# These changes keep the release that is declared: whoever merges one has not decided that it shall serve again.
_KEEPING = (ChangeType.HOLD, ChangeType.EXPERIMENT)


class Intent(Record):
    """`.towpath/guard/<environment>/<model>.json`: what the guard of this clone is about to do, or has done."""

    release: Digest  # that does harm
    commit: Commit  # of main, that declares it
    to: Digest
    since: AwareDatetime
    figures: Line  # what was seen, in one line
    pull: PositiveInt | None = None  # the pull request that asks main to follow


@dataclass(frozen=True)
class Shift:
    """Main declares one release, and another was put in its place."""

    release: str  # id of the one that did harm
    to: Declared  # the one that serves instead, as main declared it in its time
    commit: str  # of main, that declared the one that did harm
    since: datetime
    figures: str  # what was seen
    told: bool  # whether the ledger knows

    def fact(self, declared: Declared, now: datetime) -> Fact:
        """Return what the ledger says of it; `declared` is what main says against it."""
        place = {"environment": declared.deployment.environment, "model": declared.deployment.model}
        said = {"time": now, "event": Event.SHIFTED, "commit": declared.commit, "to": self.to.release.id}
        return Fact.model_validate(place | declared.facts() | said | {"note": self.figures or None})


def standing_shift(repository: Repository, declared: Declared) -> Shift | None:
    """Return the shift that stands against what main declares now; None when main's word holds.

    Raises:
        LedgerError: the ledger's chain is broken.
    """
    environment, model = declared.deployment.environment, declared.deployment.model
    ledger = Ledger(repository)
    shifted, applied = ledger.last(environment, model, Event.SHIFTED), ledger.live(environment, model)
    found = None
    if shifted and shifted.to and (applied is None or shifted.seq > applied.seq):
        to = declaration_of(repository, shifted.to, environment, model)
        found = to and Shift(shifted.release, to, shifted.commit, shifted.time, shifted.note or "", told=True)
    elif intent := read_intent(repository.root, environment, model):
        to = declaration_of(repository, intent.to, environment, model)
        found = to and Shift(intent.release, to, intent.commit, intent.since, intent.figures, told=False)
    return found if found and _is_undecided(repository, declared, found.release, found.commit) else None


def declaration_of(repository: Repository, release: str, environment: str, model: str) -> Declared | None:
    """Return how main declared a release when it was last applied there, without experiment; None when it never was.

    Raises:
        LedgerError: the ledger's chain is broken.
    """
    applied = Ledger(repository).last(environment, model, Event.APPLIED, release)
    found = declared_at(repository, applied.commit, environment, model) if applied else None
    if found is None or found.release.id != release:
        return None
    return replace(found, deployment=found.deployment.model_copy(update={"experiment": None}))


def _is_undecided(repository: Repository, declared: Declared, release: str, since: str) -> bool:
    """Return whether main says the same as at the commit `since`: nobody has decided again what shall serve."""
    if declared.release.id != release or not repository.is_ancestor(since, declared.commit):
        return False
    environment, model = declared.deployment.environment, declared.deployment.model
    then = declared_at(repository, since, environment, model)
    path = layout.environment_path(environment, model)
    for info in repository.log(declared.commit, since=since, path=path):
        with suppress(InvalidFileError):  # main held a broken file for a while: that decided nothing
            if not _keeps(declared_at(repository, info.sha, environment, model), then):
                return False
    return True


def _keeps(later: Declared | None, then: Declared | None) -> bool:
    change = later.deployment.change if later else None
    if later is None or then is None or change is None or later.release.id != then.release.id:
        return False
    return change.type in _KEEPING or change == then.deployment.change


# --- the intent ---------------------------------------------------------------------------------------------------


def intent_path(root: Path, environment: str, model: str) -> Path:
    """Return where this clone keeps what its guard is about to do."""
    return layout.state(root, "guard", environment, f"{model}.json")


def read_intent(root: Path, environment: str, model: str) -> Intent | None:
    """Return what the guard of this clone was about to do; None when it was about nothing."""
    path = intent_path(root, environment, model)
    try:
        return parse_json(path.read_bytes(), Intent, source=str(path))
    except (FileNotFoundError, InvalidFileError):  # written atomically: a broken one was made by hand
        return None


def write_intent(root: Path, environment: str, model: str, intent: Intent) -> None:
    """Write down what is about to be done, before it is done."""
    write_atomically(intent_path(root, environment, model), intent.model_dump_json(by_alias=True, indent=2) + "\n")


def forget_intent(root: Path, environment: str, model: str) -> None:
    """Give an intent up: it cannot be done, or main has decided."""
    intent_path(root, environment, model).unlink(missing_ok=True)


def forget_decided(repository: Repository, declared: Declared) -> None:
    """Forget an intent once main has decided again: it holds up nobody any more."""
    environment, model = declared.deployment.environment, declared.deployment.model
    intent = read_intent(repository.root, environment, model)
    if intent and not _is_undecided(repository, declared, intent.release, intent.commit):
        forget_intent(repository.root, environment, model)
