"""A change, and all that is known about it, become the decision document. Pure.

Red evidence is shown: people must see it. Without an input that it needs there is no document, and so no proposal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from towpath_gitops.promotion import headlines
from towpath_gitops.promotion.change import pinned
from towpath_gitops.promotion.decision import (
    Compared,
    Data,
    Decision,
    Differences,
    Gate,
    Loaded,
    Named,
    Rows,
    Step,
)
from towpath_gitops.promotion.inputs import Inputs, require
from towpath_gitops.records.base import Image, short
from towpath_gitops.records.deployment import ChangeType, Deployment, PinnedRelease
from towpath_gitops.records.evidence import Kind
from towpath_gitops.records.figures import ComparisonFigures, DataFigures, EvaluationFigures, find
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.release import Release

MOST_STEPS: Final = 20
_PARTS: Final[Sequence[Literal["major", "minor", "patch"]]] = ("major", "minor", "patch")


def decide(before: Deployment, after: Deployment, known: Inputs) -> Decision:
    """Collect the decision document of the change from `before` to `after`.

    Raises:
        RefusedError: an input is missing; names each, and the command that makes it.
        ValueError: `after` declares nothing.
    """
    if after.release is None or after.change is None:
        message = "a deployment without a release changes nothing"
        raise ValueError(message)
    require(known)
    old, new, about = before.declared, known.release, pinned(before, after)
    back = after.change.type is ChangeType.ROLLBACK
    moves = (known.brings or back) and (old is None or old.id != new.id)
    return Decision(
        type=after.change.type,
        model=after.model,
        environment=after.environment,
        title=headlines.title(before, after),
        summary=headlines.summary(before, after),
        reason=after.change.reason,
        release=PinnedRelease.of(new, about.image if about and about.id == new.id else None),
        replaces=before.release,
        evidence=after.change.evidence,
        reasons=tuple(known.reasons),
        approvals=known.approvals,
        gates=tuple(_gates(known)) if known.brings else (),
        compared=_compared(known, old),
        evaluation=find(known.evidence, Kind.EVALUATION, EvaluationFigures),
        load=_loaded(known),
        differences=differences(old, new, known.steps) if moves else None,
        data=_data(known, old) if moves else None,
        upstream=known.upstream,
        skipped=known.above if known.skips else None,
        experiment=after.experiment,
        blocked=after.blocked,
        images=_images(before, after),
        image=known.image,
        way_back=known.way_back,
        pictures=tuple(known.pictures),
        links=tuple(known.links),
    )


# --- what differs -------------------------------------------------------------------------------------------------


def differences(old: Release | None, new: Release, steps: Sequence[Step] | None = ()) -> Differences:
    """Say what differs between two releases, and what the semantic version means by it."""
    if old is None:
        first = ("It is the first release here.",)
        return Differences(semver="first", input_schema=True, code=True, data=True, words=first)
    changed = [getattr(old, field) != getattr(new, field) for field in ("input_schema", "code", "data")]
    shown = tuple(steps or ())[:MOST_STEPS]
    return Differences(
        semver=_step(old, new),
        input_schema=changed[0],
        code=changed[1],
        data=changed[2],
        words=tuple(_words(old, new, changed, known=steps is not None)),
        steps=shown,
        more_steps=len(steps or ()) - len(shown),
    )


def _step(old: Release, new: Release) -> Literal["major", "minor", "patch", "none"]:
    pairs = zip(old.semver.split("."), new.semver.split("."), _PARTS, strict=True)
    return next((name for a, b, name in pairs if a != b), "none")


def _words(old: Release, new: Release, changed: Sequence[bool], *, known: bool) -> Iterator[str]:
    schema, code, data = changed
    if schema:
        yield "The input schema changes: callers may have to send other columns (a major version)."
    else:
        yield "The input schema is the same: callers need not change."
    yield f"Trained by commit {new.code[:12]}, before by {old.code[:12]}." if code else f"Same code: {new.code[:12]}."
    if code and not known:
        yield "This clone does not hold both commits, so what lies between them is not listed."
    yield (
        f"Trained on data {short(new.data)}, before on {short(old.data)}." if data else f"Same data: {short(new.data)}."
    )


def _images(before: Deployment, after: Deployment) -> tuple[Image | None, Image | None] | None:
    old, new = before.release, after.release
    repackaged = old and new and old.id == new.id and old.image != new.image
    return (old.image, new.image) if old and new and repackaged else None


# --- what the evidence says ---------------------------------------------------------------------------------------


def _gates(known: Inputs) -> Iterable[Gate]:
    for kind in dict.fromkeys((*known.demanded, *sorted(known.evidence))):
        for finding in known.evidence[kind].findings:
            yield Gate(kind=kind, **finding.model_dump(exclude={"needed_rows"}))


def _compared(known: Inputs, old: Release | None) -> Compared | None:
    figures = find(known.evidence, Kind.COMPARISON, ComparisonFigures)
    if figures is None:
        return None
    rival = known.evidence[Kind.COMPARISON].champion
    return Compared(
        champion=_named(known, rival),
        served_in=known.served_in,
        is_replaced=rival is not None and old is not None and old.id == rival,
        figures=figures,
    )


def _loaded(known: Inputs) -> Loaded | None:
    figures = find(known.evidence, Kind.LOAD, LoadFigures)
    if figures is None:
        return None
    return Loaded(champion=_named(known, known.evidence[Kind.LOAD].champion), figures=figures.summary)


def _named(known: Inputs, rival: str | None) -> Named | None:
    present = known.champion
    return Named(id=rival, semver=present.semver if present and present.id == rival else "?") if rival else None


def _data(known: Inputs, old: Release | None) -> Data:
    return Data(
        new=Rows(digest=known.release.data, figures=find(known.evidence, Kind.DATA, DataFigures)),
        old=Rows(digest=old.data, figures=find(known.former, Kind.DATA, DataFigures)) if old else None,
    )
