"""What a check is, and how checks are run: inputs by argument name, findings as values, never exceptions."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from towpath_gitops.errors import TowpathError


class Absent(str):
    """Why there is nothing to look at: instead of an input, or as what a check says."""

    __slots__ = ()


# What a check says: fine, not fine, does not apply here (for a reason that is Absent), or not fine for this reason.
Finding = bool | str | Absent | None


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "failed"
    SKIPPED = "skipped"


class Check:
    """One thing that should be so. The docstring of a subclass is its title."""

    gravity: ClassVar[State] = State.FAIL
    mend: ClassVar[str] = ""  # the command that mends it

    # Subclasses name the inputs they need as arguments; an input that is None or Absent means: does not apply here.
    check: ClassVar[Callable[..., Finding]]

    @classmethod
    def title(cls) -> str:
        """Return what should be so."""
        return (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip(".")

    @classmethod
    def advice(cls) -> str:
        """Return what the user is told when it is not so."""
        return " ".join((inspect.getdoc(cls.check) or "").split())


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one check found."""

    check: str
    title: str
    state: State
    reason: str = ""
    advice: str = ""
    mend: str = ""

    def plain(self) -> dict[str, str]:
        """Return the result as JSON types."""
        return asdict(self)


Inputs = Mapping[str, Callable[[], Any]]
_RETURN: Final = "return"


def diagnose(checks: Iterable[type[Check]], inputs: Inputs) -> Iterator[Result]:
    """Run each check with the inputs that its arguments name; an input is computed once, and only when asked for."""
    known: dict[str, Any] = {}

    def value(name: str) -> object:
        if name not in known:
            known[name] = inputs[name]()
        return known[name]

    for check in checks:
        yield _run(check, value)


def _run(check: type[Check], value: Callable[[str], object]) -> Result:
    names = inspect.signature(check.check).parameters
    arguments = {name: value(name) for name in names}
    missing = [argument for argument in arguments.values() if argument is None or isinstance(argument, Absent)]
    if missing:
        return _result(check, missing[0])
    try:
        return _result(check, check.check(**arguments))
    except TowpathError as error:
        return _result(check, str(error))


def _result(check: type[Check], finding: Finding) -> Result:
    identity = {"check": check.__name__, "title": check.title()}
    if finding is None or isinstance(finding, Absent):
        return Result(**identity, state=State.SKIPPED, reason=finding or "")
    if finding is True:
        return Result(**identity, state=State.OK)
    reason = finding if isinstance(finding, str) else ""
    return Result(**identity, state=check.gravity, reason=reason, advice=check.advice(), mend=check.mend)
