"""What a proposal of each type may write, and nothing else: one row of `SHAPES` for each type of change."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from towpath_gitops import layout
from towpath_gitops.promotion import gallery
from towpath_gitops.promotion.proposed import Proposed
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import PROMOTABLE, ChangeType
from towpath_gitops.records.evidence import Kind, bundle_digest

_NAMED: Final = 5  # how many foreign files are named before the rest is only counted


@dataclass(frozen=True)
class Shape:
    """What a type of change writes beside `change` itself, and what must be true of it."""

    writes: frozenset[str]
    rules: tuple[Callable[[Proposed], Iterator[Reason]], ...]


def misshapen(proposed: Proposed) -> Iterator[Reason]:
    """Object to everything that a proposal of its type does not write."""
    shape = SHAPES[proposed.change.type]
    yield from _foreign_files(proposed)
    yield from _owned(proposed)
    yield from _elsewhere(proposed, shape.writes)
    yield from _evidence(proposed)
    for rule in shape.rules:
        yield from rule(proposed)


# --- for every type -----------------------------------------------------------------------------------------------


def _foreign_files(proposed: Proposed) -> Iterator[Reason]:
    own, pictures = {proposed.path}, set[str]()
    if proposed.brings:
        own |= {layout.evidence_path(proposed.release.short_id, kind) for kind in Kind}
        own |= {layout.signature_path(proposed.release.short_id)}
        pictures |= set(gallery.paths(proposed.release).values())
    kept = own.difference(proposed.removed) | pictures  # whether a picture may go is asked of the evidence
    foreign = [path for path in proposed.changed if path not in kept]
    if foreign:
        yield Reason(
            rule="scope",
            what=f"It also changes {', '.join(foreign[:_NAMED])}{' and more' if len(foreign) > _NAMED else ''}",
            mend="A proposal holds one environment file, and the evidence and signature of its release, nothing else.",
        )


def _owned(proposed: Proposed) -> Iterator[Reason]:
    if proposed.after.owned != proposed.before.owned:
        names = [key for key, value in proposed.after.owned.items() if proposed.before.owned.get(key) != value]
        yield Reason(
            rule="owned_fields",
            what=f"It edits fields that belong to the environment's owner: {', '.join(names)}",
            mend="Change them in a pull request of their own.",
        )


def _elsewhere(proposed: Proposed, writes: frozenset[str]) -> Iterator[Reason]:
    for block in PROMOTABLE:
        same = getattr(proposed.after, block) == getattr(proposed.before, block)
        if not same and block not in writes | {"change"}:
            what = f"It edits `{block}`, which a change of type {proposed.change.type} leaves alone"
            yield Reason(rule=block, what=what, mend="Propose that as a change of its own.")


def _evidence(proposed: Proposed) -> Iterator[Reason]:
    expected = bundle_digest(proposed.evidence.values()) if proposed.brings else None
    if proposed.change.evidence != expected:
        yield Reason(
            rule="evidence_digest",
            what="The evidence files are not those that change.evidence names",
            mend="Propose it again; nobody edits evidence.",
        )


# --- for some -----------------------------------------------------------------------------------------------------


def _ends_experiment(proposed: Proposed) -> Iterator[Reason]:
    if proposed.after.experiment is not None:
        yield Reason(
            rule="experiment",
            what=f"It declares an experiment, which a change of type {proposed.change.type} ends",
            mend="Start it afterwards: towpath experiment start.",
        )


def _blocks_what_it_leaves(proposed: Proposed) -> Iterator[Reason]:
    left = proposed.before.release.id if proposed.before.release else None
    if set(proposed.after.blocked) != {*proposed.before.blocked, left} - {None}:
        yield Reason(
            rule="hold",
            what="It does not block exactly the release that it leaves, beside those blocked before",
            mend="Propose it with: towpath rollback.",
        )


def _another_image(proposed: Proposed) -> Iterator[Reason]:
    old, new = proposed.before.release, proposed.after.release
    if old is None or new is None or old.id != new.id:
        what = "It declares another release: a repackaging changes the image of the same one"
        yield Reason(rule="release", what=what, mend="Propose it with: towpath promote.")
    elif new.image is None or new.image == old.image:
        yield Reason(rule="release", what="It names no other image", mend="Name one by its digest.")


def _starts_or_stops(proposed: Proposed) -> Iterator[Reason]:
    if proposed.after.experiment == proposed.before.experiment:
        what = "It neither starts, changes nor stops an experiment"
        yield Reason(rule="experiment", what=what, mend="Propose it with: towpath experiment.")


def _blocks_or_lifts(proposed: Proposed) -> Iterator[Reason]:
    before, after, serves = set(proposed.before.blocked), set(proposed.after.blocked), proposed.before.release
    mend = "Propose it with: towpath hold, or towpath unhold."
    if (before < after) == (after < before):
        yield Reason(rule="hold", what="It does not either block more releases or fewer", mend=mend)
    elif serves and serves.id in after - before:
        mend = f"Leave it, which blocks it: towpath rollback --environment {proposed.before.environment}"
        yield Reason(rule="hold", what=f"It blocks {short(serves.id)}, which serves", mend=mend)
    elif after < before and after and not _lifts_only(proposed):
        yield Reason(rule="hold", what="It rewrites why the other releases are blocked", mend=mend)


def _lifts_only(proposed: Proposed) -> bool:
    old, new = proposed.before.hold, proposed.after.hold
    return old is not None and new is not None and new.model_copy(update={"blocked": old.blocked}) == old


def _shape(*rules: Callable[[Proposed], Iterator[Reason]], writes: str) -> Shape:
    return Shape(frozenset(writes.split()), rules)


_FORWARD: Final = _shape(_ends_experiment, writes="release experiment")

SHAPES: Final[Mapping[ChangeType, Shape]] = {
    ChangeType.PROMOTE: _FORWARD,
    ChangeType.HOTFIX: _FORWARD,
    ChangeType.ROLLBACK: _shape(_ends_experiment, _blocks_what_it_leaves, writes="release hold experiment"),
    ChangeType.REPACKAGE: _shape(_another_image, writes="release"),
    ChangeType.EXPERIMENT: _shape(_starts_or_stops, writes="experiment"),
    ChangeType.HOLD: _shape(_blocks_or_lifts, writes="hold"),
}
