"""What a drill is, and how drills are run and judged."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from towpath_gitops.errors import TowpathError

if TYPE_CHECKING:
    from towpath_ci.drills.stage import Stage


@dataclass(frozen=True)
class Refusal:
    """Somebody said no: the gate's name, and its words."""

    by: str
    reason: str


class Drill(ABC):
    """One fault, injected on purpose; the docstring of a subclass is its title.

    `gate` names who must refuse: a kind of evidence, a rule of the review, or the class of an error. The known-good
    twin shows that the same gate does not refuse everything.
    """

    injected: ClassVar[str]
    gate: ClassVar[str]

    @abstractmethod
    def good(self, stage: "Stage") -> Sequence[Refusal]:
        """Do the same without the fault and return who refused: nobody should."""

    @abstractmethod
    def bad(self, stage: "Stage") -> Sequence[Refusal]:
        """Inject the fault and return who refused."""

    @classmethod
    def title(cls) -> str:
        """Return what the drill is about."""
        return (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip(".")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a drill went. It held when the gate refused the fault and let the twin pass."""

    drill: str
    title: str
    injected: str
    gate: str
    held: bool
    reason: str
    seconds: float

    def plain(self) -> dict[str, object]:
        """Return the result as JSON types."""
        return asdict(self)


def run(drills: Iterable[type[Drill]], stage: "Stage") -> Iterator[Result]:
    """Run each drill on the stage and yield its result; a drill that breaks has not held."""
    for drill in drills:
        start = monotonic()
        held, reason = _judged(drill(), stage)
        yield Result(
            drill=drill.__name__,
            title=drill.title(),
            injected=drill.injected,
            gate=drill.gate,
            held=held,
            reason=reason,
            seconds=round(monotonic() - start, 2),
        )


def _judged(drill: Drill, stage: "Stage") -> tuple[bool, str]:
    twin = refusals(lambda: drill.good(stage))
    if twin:
        return False, f"the known-good twin was refused, too: {twin[0].by}: {twin[0].reason}"
    found = refusals(lambda: drill.bad(stage))
    mine = [refusal for refusal in found if refusal.by == drill.gate]
    if mine:
        return True, mine[0].reason
    others = f"only {', '.join(sorted({refusal.by for refusal in found}))} did" if found else "nobody did"
    return False, f"{drill.gate} did not refuse; {others}"


def refusals(act: Callable[[], Sequence[Refusal]]) -> Sequence[Refusal]:
    """Return who refuses when `act` is done; an expected error is a refusal by its class."""
    try:
        return act()
    except TowpathError as error:
        return [Refusal(type(error).__name__, error.what)]
