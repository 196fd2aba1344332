"""One change at a time: of several open proposals for one environment and model, which may go first.

The way back never waits. A hotfix waits for a rollback, a promotion for both: so nothing that runs by itself can slip
in between a person's rollback and its merge. Among equals the newest counts, and closes the others when it is opened.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from towpath_gitops.forges.base import Pull, State
from towpath_gitops.promotion.branches import Place, place_of
from towpath_gitops.promotion.change import Lane
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposed import Proposed
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.deployment import ChangeType

# Which open proposals a new one of a type closes: those whose place it takes.
_CLOSES: Final[Mapping[ChangeType, tuple[ChangeType, ...]]] = {
    ChangeType.PROMOTE: (ChangeType.PROMOTE, ChangeType.REPACKAGE),
    ChangeType.REPACKAGE: (ChangeType.REPACKAGE,),
    ChangeType.HOTFIX: (ChangeType.HOTFIX, ChangeType.PROMOTE),
    ChangeType.EXPERIMENT: (ChangeType.EXPERIMENT,),
    ChangeType.ROLLBACK: (ChangeType.ROLLBACK,),
    ChangeType.HOLD: (),
}
_URGENT: Final = (ChangeType.ROLLBACK, ChangeType.HOTFIX)
# Which open proposals one of a type lets go first, however old they are.
_YIELDS: Final[Mapping[ChangeType, tuple[ChangeType, ...]]] = {
    ChangeType.PROMOTE: _URGENT,
    ChangeType.REPACKAGE: _URGENT,
    ChangeType.EXPERIMENT: _URGENT,
    ChangeType.HOTFIX: (ChangeType.ROLLBACK,),
}
# Types that leave the declared release as it is.
_LEAVING_ALONE: Final = (ChangeType.HOLD, ChangeType.EXPERIMENT, ChangeType.REPACKAGE)


def rivals(desk: Desk, pull: Pull, proposed: Proposed) -> Iterator[Reason]:
    """Object to a proposal while another for the same environment and model must go first."""
    if proposed.lane is not Lane.BACK:
        place = Place(proposed.change.type, proposed.before.environment, proposed.before.model)
        yield from ahead(desk, place, number=pull.number)


def ahead(desk: Desk, place: Place, *, number: int | None = None) -> Iterator[Reason]:
    """Yield a reason for each open proposal that goes before the one of a type and place with this number.

    Without a number it is one that nobody has opened yet.
    """
    for other in desk.forge.list(State.OPEN):
        there = place_of(other.branch)
        if other.number == number or there is None or there[1:] != place[1:]:
            continue
        newer = number is not None and other.number > number and place.type in _closed_by(there)
        if newer or there.type in _YIELDS.get(ChangeType(place.type), ()):
            yield Reason(
                rule="one_open",
                what=f"#{other.number} ({other.title}) is open for {place.model} in {place.environment}: it goes first",
                mend=f"Merge or close it: towpath merge {other.number}, or towpath close {other.number}.",
            )


def supersede(desk: Desk, pull: Pull) -> None:
    """Close the open proposals whose place a new one takes, each with a link to it."""
    here = place_of(pull.branch)
    closes = _closed_by(here) if here else ()
    for other in desk.forge.list(State.OPEN):
        place = place_of(other.branch)
        if here and place and other.number != pull.number and place[1:] == here[1:] and place.type in closes:
            desk.forge.close(other.number, f"Superseded by #{pull.number}: {pull.title}")


def close_stale(desk: Desk, merged: Pull) -> None:
    """Close the open proposals for the environment and model that `merged` changed: they replace what is no more.

    A rollback stays open when the release that it leaves is still declared: proposed again, it is renewed in place.
    """
    here = place_of(merged.branch)
    for other in desk.forge.list(State.OPEN):
        place = place_of(other.branch)
        if here is None or place is None or place[1:] != here[1:]:
            continue
        if place.type != ChangeType.ROLLBACK or here.type not in _LEAVING_ALONE:
            desk.forge.close(
                other.number, f"Stale: #{merged.number} ({merged.title}) was merged first. Propose it again."
            )


def _closed_by(place: Place) -> tuple[ChangeType, ...]:
    """Return the types that a proposal closes when it is opened; none for a branch that somebody named by hand."""
    return _CLOSES[ChangeType(place.type)] if place.type in set(ChangeType) else ()
