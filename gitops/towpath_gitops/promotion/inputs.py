"""What a decision document is made from, and the refusal to make one when any of it is missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from towpath_gitops.errors import InvalidFileError, RefusedError
from towpath_gitops.promotion.decision import Link, Picture, Step, Upstream, WayBack
from towpath_gitops.promotion.eligibility import again
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.base import Record
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.figures import BehaviourFigures, ComparisonFigures, DataFigures, EvaluationFigures, read
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.release import Release

# The kinds whose figures the document shows beside their findings.
FIGURES: Final[Mapping[Kind, type[Record]]] = {
    Kind.DATA: DataFigures,
    Kind.EVALUATION: EvaluationFigures,
    Kind.COMPARISON: ComparisonFigures,
    Kind.BEHAVIOUR: BehaviourFigures,
    Kind.LOAD: LoadFigures,
}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that is known about a change; collected by `gathering.gather`."""

    release: Release  # that the change is about
    brings: bool  # whether it comes into service for reasons of its own, and so must show evidence
    demanded: Sequence[Kind]  # by the policy, of this environment
    evidence: Mapping[Kind, Evidence]
    former: Mapping[Kind, Evidence]  # of the release that is declared now
    served_in: str  # the last environment
    champion: Release | None  # that the last environment declares
    above: str | None  # the environment before this one; None for the first
    skips: bool  # a hotfix does not ask what happened there
    upstream: Upstream | None
    steps: Sequence[Step] | None  # commits between the two releases, newest first; None where this clone lacks them
    way_back: WayBack
    reasons: Sequence[Reason]
    approvals: int
    image: ImageRecord | None = None  # of the image that would carry the release
    pictures: Sequence[Picture] = ()
    links: Sequence[Link] = ()


class Missing(NamedTuple):
    """One input that is not there, and the command that makes it."""

    what: str
    command: str


def require(inputs: Inputs) -> None:
    """Refuse to decide on half of the facts.

    Raises:
        RefusedError: an input is missing; names each, and the command that makes it.
    """
    found = list(missing(inputs)) if inputs.brings else []
    if found:
        facts = f"{len(found)} facts are" if len(found) > 1 else "a fact is"
        raise RefusedError(
            f"Nobody could decide about {inputs.release} yet: {facts} missing",
            why="\n".join(f"  - {each.what}. It comes from: {each.command}" for each in found),
            hint="Make what is missing, then propose it again. Nothing was pushed.",
        )


def missing(inputs: Inputs) -> Iterator[Missing]:
    """Yield what is not there of that which a release must show before it comes into service."""
    for kind in dict.fromkeys((*inputs.demanded, *inputs.evidence)):
        yield from _evidence(inputs, kind, inputs.evidence.get(kind))
    if inputs.above is not None and not inputs.skips and inputs.upstream is None:
        yield Missing(
            f"No verification of it in {inputs.above} was ever recorded",
            f"towpath promote {inputs.release.short_id} --to {inputs.above}",
        )


def _evidence(inputs: Inputs, kind: Kind, evidence: Evidence | None) -> Iterator[Missing]:
    command = again(kind).replace("RELEASE", inputs.release.short_id)
    if evidence is None:
        yield Missing(f"There is no {kind} evidence for it", command)
        return
    if not evidence.findings:
        yield Missing(f"Its {kind} evidence holds no finding", command)
    if kind in FIGURES and kind in inputs.demanded:
        try:
            read(evidence, FIGURES[kind])
        except InvalidFileError as error:
            yield Missing(f"Its {kind} evidence has not the figures that this version shows: {_first(error)}", command)
    if kind is Kind.COMPARISON and evidence.champion is None and inputs.champion not in {None, inputs.release}:
        yield Missing(f"It was compared with nobody, but {inputs.served_in} declares {inputs.champion} by now", command)


def _first(error: InvalidFileError) -> str:
    return error.why.strip().splitlines()[0] if error.why.strip() else error.what
