"""Two contestants, one run: they take turns, so that whatever disturbs the machine disturbs both."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

Run = Callable[[], float]  # does the work once and returns how long it took, in seconds

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True)
class Contestant:
    """Who runs, in a few words, and the run itself."""

    name: str
    run: Run


def timed(action: Callable[[], object]) -> Run:
    """Return a run that tells the seconds on the clock: for work that other processes share in."""

    def run() -> float:
        began = perf_counter()
        action()
        return perf_counter() - began

    return run


def computed(action: Callable[[], object], parts: int) -> Run:
    """Return a run that tells the processor's seconds of each of its equal `parts`; a busy machine distorts them least.

    Every thread of this process counts.
    """

    def run() -> float:
        began = process_time()
        action()
        return (process_time() - began) / parts

    return run


def head() -> None:
    """Print the head of the table that `compare` adds rows to (Markdown)."""
    print("| this | takes so many times as long | as that | rounds |")
    print("| --- | --- | --- | --- |")


def compare(this: Contestant, that: Contestant, rounds: int) -> None:
    """Let both run once unrecorded and then `rounds` times in changing order; print the ratios as one row.

    The ratio is of the two runs of one round; told are the median, the lowest and the highest.
    """
    pair = (this, that)
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in pair}
    for number in range(rounds + 1):
        for contestant in pair if number % 2 else pair[::-1]:
            took = contestant.run()
            if number:
                seconds[contestant.name].append(took)
    these, those = seconds[this.name], seconds[that.name]
    ratios = sorted(one / other for one, other in zip(these, those, strict=True))
    spread = f"**{_figures(median(ratios))}** ({_figures(ratios[0])} to {_figures(ratios[-1])})"
    print(f"| {this.name}: {_time(these)} | {spread} | {that.name}: {_time(those)} | {rounds} |", flush=True)


def _figures(number: float) -> str:
    """Return a ratio with as many digits as it deserves."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 2 else f"{number:.2f}"  # noqa: PLR2004 (a matter of taste)


def _time(seconds: list[float]) -> str:
    """Return the median in a unit that makes it readable."""
    middle = median(seconds)
    size, unit = next(((size, unit) for size, unit in _UNITS if middle >= size), _UNITS[-1])
    return f"{middle / size:.3g} {unit}"
