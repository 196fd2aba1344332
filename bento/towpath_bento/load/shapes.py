"""How the rate of requests goes over a test: a share of the stated rate at each moment."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from towpath_gitops.records.load import Shape


class Form(NamedTuple):
    """One shape: the level at a share of the time gone by (0 to 1), and how many times as long as others it lasts."""

    level: Callable[[float], float]
    lasts: float = 1.0


_SPIKE: Final = (0.4, 0.6)  # between these shares of the time
_SPIKED: Final = 4.0  # times the rate
_BEGIN: Final = 0.1  # of a ramp


def _ramp(gone: float) -> float:
    return _BEGIN + (1 - _BEGIN) * gone


def _spike(gone: float) -> float:
    return _SPIKED if _SPIKE[0] <= gone < _SPIKE[1] else 1.0


# A ramp rises from a tenth to the rate; a spike is four times the rate for the fifth in the middle.
FORMS: Final[Mapping[Shape, Form]] = {
    "steady": Form(lambda _: 1.0),
    "ramp": Form(_ramp),
    "spike": Form(_spike),
    "soak": Form(lambda _: 1.0, lasts=20.0),
}


def due_after(shape: Shape, rate: float, at_s: float, whole_s: float, gap: float) -> float:
    """Return when the next request is due, in seconds, after one at `at_s` of `whole_s`.

    `gap` is the distance to it where requests come once a second on average; it shrinks with the rate of the moment.
    """
    gone = min(max(at_s / whole_s, 0.0), 1.0)
    return at_s + gap / (rate * FORMS[shape].level(gone))
