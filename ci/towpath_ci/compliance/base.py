"""What a control is, and how controls are judged: inputs by argument name, findings as values.

Nothing is met without evidence: that is not a habit but the constructor's rule.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from towpath_ci.compliance.frameworks import Citation
from towpath_gitops.errors import TowpathError


class State(StrEnum):
    """How it stands with a control."""

    MET = "met"
    GAP = "gap"
    FLAGGED = "flagged"  # an exception that was made openly: somebody should look
    NONE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """What was found: the state, and the evidence for it or what is missing, in sentences."""

    state: State
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a finding without words, above all a control that is met by nothing."""
        if not any(self.words):
            message = f"“{self.state}” needs evidence"
            raise ValueError(message)


def met(*evidence: str) -> Finding:
    """Return that a control is met, by this evidence."""
    return Finding(State.MET, evidence)


def gap(*missing: str) -> Finding:
    """Return that a control is not met, and what is missing."""
    return Finding(State.GAP, missing)


def flagged(*words: str) -> Finding:
    """Return that an exception was made."""
    return Finding(State.FLAGGED, words)


def none(why: str) -> Finding:
    """Return that a control has nothing to say here, and why."""
    return Finding(State.NONE, (why,))


def day(when: datetime) -> str:
    """Write a day as evidence names it."""
    return f"{when.astimezone(UTC):%Y-%m-%d}"


def moment(when: datetime) -> str:
    """Write a moment as evidence names it."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


class Control:
    """One thing that should be so. The docstring of a subclass is its title, that of `check` what is looked for."""

    short: ClassVar[str]  # for the head of a narrow column
    cites: ClassVar[tuple[Citation, ...]]
    # Subclasses name the inputs they need as arguments.
    check: ClassVar[Callable[..., Finding]]

    @classmethod
    def title(cls) -> str:
        """Return what should be so."""
        return (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip(".")

    @classmethod
    def looked_for(cls) -> str:
        """Return what counts as evidence."""
        return " ".join((inspect.getdoc(cls.check) or "").split())


@dataclass(frozen=True)
class Judgement:
    """What was found about one control."""

    control: type[Control]
    finding: Finding

    def plain(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "control": self.control.__name__,
            "title": self.control.title(),
            "state": self.finding.state.value,
            "found": list(self.finding.words),
            "frameworks": [asdict(citation) for citation in self.control.cites],
        }


Inputs = Mapping[str, Callable[[], Any]]


def judge(controls: Iterable[type[Control]], inputs: Inputs) -> Iterator[Judgement]:
    """Judge each control by the inputs that its arguments name; an input that cannot be had is a gap, not an end."""
    known: dict[str, Any] = {}
    for control in controls:
        names = inspect.signature(control.check).parameters
        try:
            for name in names:
                if name not in known:
                    known[name] = inputs[name]()
            yield Judgement(control, control.check(**{name: known[name] for name in names}))
        except TowpathError as error:
            yield Judgement(control, gap(" ".join(str(error).split())))
