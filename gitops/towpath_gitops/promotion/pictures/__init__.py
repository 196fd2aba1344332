"""The pictures of a decision document: a pure function of the evidence, committed beside it.

Review draws them again from the evidence and refuses a proposal in which a byte differs: nobody can touch a picture up.
"""

from collections.abc import Callable, Mapping
from typing import Final
from xml.etree.ElementTree import fromstring

from towpath_gitops.promotion.pictures.differences import differences
from towpath_gitops.promotion.pictures.flips import flips
from towpath_gitops.promotion.pictures.load import load
from towpath_gitops.promotion.pictures.reliability import reliability
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.figures import Calibration, ComparisonFigures, EvaluationFigures, find
from towpath_gitops.records.load import LoadFigures

Bundle = Mapping[Kind, Evidence]


def _differences(evidence: Bundle) -> bytes | None:
    found = _compared(evidence)
    return differences(found.rivals) if found and found.rivals else None


def _flips(evidence: Bundle) -> bytes | None:
    found = _compared(evidence)
    return flips(found.rivals.replay) if found and found.rivals else None


def _reliability(evidence: Bundle) -> bytes | None:
    """Draw both curves where two releases were compared, else that of the one that was evaluated."""
    found = _compared(evidence)
    if found and found.rivals:
        rivals = found.rivals
        return reliability(rivals.challenger, rivals.champion) if rivals.challenger else None
    alone = _evaluated(evidence)
    return reliability(alone, None) if alone else None


def _load(evidence: Bundle) -> bytes | None:
    found = find(evidence, Kind.LOAD, LoadFigures)
    return load(found) if found else None


def _compared(evidence: Bundle) -> ComparisonFigures | None:
    return find(evidence, Kind.COMPARISON, ComparisonFigures)


def _evaluated(evidence: Bundle) -> Calibration | None:
    figures = find(evidence, Kind.EVALUATION, EvaluationFigures)
    error = figures.metrics.get("calibration_error") if figures else None
    if figures is None or error is None or not figures.calibration:
        return None
    return Calibration(error=error.value, interval=(error.low, error.high), bins=figures.calibration)


# One picture is one file and one row. It returns None where the evidence has nothing to draw.
PICTURES: Final[Mapping[str, Callable[[Bundle], bytes | None]]] = {
    "differences.svg": _differences,
    "flips.svg": _flips,
    "reliability.svg": _reliability,
    "load.svg": _load,
}


def draw(evidence: Bundle) -> dict[str, bytes]:
    """Return every picture that the evidence gives: file name → bytes."""
    drawn = {name: picture(evidence) for name, picture in PICTURES.items()}
    return {name: data for name, data in drawn.items() if data is not None}


def says(picture: bytes) -> str:
    """Return what a picture says to those who cannot see it: its title and description."""
    root = fromstring(picture)  # noqa: S314 (drawn here, a moment ago)
    found = (root.find(f"{{*}}{tag}") for tag in ("title", "desc"))
    return ". ".join(element.text.rstrip(".") for element in found if element is not None and element.text) + "."
