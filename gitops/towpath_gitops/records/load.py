"""The figures of load evidence: what services answered under load, round by round, and what follows from it.

`bento` measures the rounds, `flows` draws intervals from them, and `load_gates` judges. What is derived here from the
rounds is computed again when figures are read: a summary that its own rounds contradict is refused.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from towpath_gitops.records.base import Commit, Digest, Line, Record
from towpath_gitops.records.figures import Measured, NonNegative, Positive, Price, Share, Value

MOST_ROUNDS: Final = 500
_ALIKE: Final = 1e-6  # relative: figures are written with all their digits
LEAST: Final = 1e-9  # stands for nothing at all, so that ratios and logarithms exist

Shape = Literal["steady", "ramp", "spike", "soak"]
Measure = Literal["p50_ms", "p95_ms", "p99_ms", "rate", "cpu_s_per_million"]


class Stretch(Record):
    """What one service answered without a pause, as its callers saw it.

    A latency runs from the moment at which a request was due, so that a service which makes callers wait cannot hide
    it by being asked less (Tene's coordinated omission). Requests that failed are among them.
    """

    requests: PositiveInt = Field(description="sent")
    errors: NonNegativeInt = Field(description="answered otherwise than with 200, or not at all")
    rows: NonNegativeInt = Field(description="predicted in good answers")
    seconds: Positive
    p50_ms: Positive
    p95_ms: Positive
    p99_ms: Positive
    cpu_s: NonNegative = Field(description="of all processes of the service")
    driver_cpu_s: NonNegative = Field(description="of the process that sent the requests, on the same machine")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if self.errors > self.requests:
            message = f"{self.errors} of {self.requests} requests cannot fail"
            raise ValueError(message)
        if not self.p50_ms <= self.p95_ms <= self.p99_ms:
            message = "of a stretch, half of the latencies are no longer than the median, 95 % than p95, 99 % than p99"
            raise ValueError(message)
        if self.errors == self.requests and self.rows:
            message = f"{self.rows} rows cannot be predicted by answers of which none was good"
            raise ValueError(message)
        return self


class Turn(Record):
    """One service in one round."""

    paced: Stretch = Field(description="requests came at the rate that is promised: latency is told from these")
    full: Stretch = Field(description="every connection asked again at once: throughput and cost are told from these")


class Round(Record):
    """All services in turn, in changing order: whatever else the machine does hinders them alike."""

    challenger: Turn
    champion: Turn | None = None
    twin: Turn | None = Field(default=None, description="the champion once more, in a process of its own: the A/A run")

    @model_validator(mode="after")
    def _has_a_pair(self) -> Self:
        if (self.champion is None) != (self.twin is None):
            message = "champion and twin are there both or neither"
            raise ValueError(message)
        return self


class Sent(Record):
    """Where requests come from and what they hold, as observed."""

    source: Line = Field(description="the reference sample of a release, or a journal")
    digest: Digest = Field(description="of all bodies in their order: the same requests, the same digest")
    bodies: PositiveInt = Field(description="different requests; they are sent again in the same order")
    rows: PositiveInt = Field(description="in all of them")
    missing: Share = Field(description="share of values that are null")
    arrivals: Literal["poisson", "observed"] = Field(description="gaps between requests")


class Setting(Record):
    """How the services were driven."""

    rounds: Annotated[int, Field(ge=1, le=MOST_ROUNDS)]
    shape: Shape = "steady"
    rate: Positive = Field(description="requests a second that came in a paced stretch")
    users: PositiveInt = Field(description="connections")
    paced_s: Positive
    full_s: Positive
    workers: PositiveInt = Field(description="processes of each service")
    cpus: PositiveInt = Field(description="processors of the machine, which services and callers shared")
    sent: Sent


class Limits(Record):
    """What `serve` in model.yaml asks for."""

    p95_ms: Positive | None = None
    p99_ms: Positive
    rate: Positive = Field(description="requests a second")
    errors: Share
    margin: Positive = Field(description="how much longer p95, and how much rarer answers, may be than the champion's")


class Served(Record):
    """One service over all rounds, each figure with its 95 % interval."""

    p50_ms: Measured
    p95_ms: Measured
    p99_ms: Measured
    rate: Measured = Field(description="good answers a second when every connection asks again at once")
    errors: Measured = Field(description="share of all requests; interval after Wilson (1927)")
    cpu_s_per_million: Measured = Field(description="CPU seconds for a million predictions")
    memory_bytes: NonNegativeInt | None = Field(description="of all processes afterwards; null where it is not told")


class Against(Record):
    """A measure of the challenger over the champion's in the same rounds; the champion counts with both its runs."""

    measure: Measure
    ratio: Measured = Field(description="its interval is never narrower than the noise")
    noise: Measured = Field(description="the champion's second run over its first: what differs though nothing does")

    @property
    def reach(self) -> float:
        """How far the champion may be from itself: the farther end of the noise, as a logarithm."""
        return max(abs(math.log(self.noise.low)), abs(math.log(self.noise.high)))


class LoadSummary(Record):
    """What a load test found, without its rounds."""

    setting: Setting
    limits: Limits
    challenger: Served
    champion: Served | None = Field(default=None, description="both its runs together; null where there is nobody")
    against: Annotated[tuple[Against, ...], Field(max_length=5)] = ()
    driver_share: NonNegative = Field(
        description="of one processor that the driver took in full stretches; near 1 it, too, limits the throughput"
    )
    price: Price | None = Field(default=None, description="of a CPU hour; null when the owner states none")
    report: Digest | None = Field(default=None, description="of Locust's own report in HTML, kept in the registry")
    code: Commit | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # records made before the field existed keep their bytes
        description="commit whose bento/ served those without an image; null when it was not noted, or there were none",
    )
    image: Digest | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # as above
        description="digest of the image in which the challenger served; null when it served without one",
    )
    champion_image: Digest | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # as above
        description="digest of the image in which the champion served; null when it served without one",
    )


class LoadFigures(LoadSummary):
    """`details` of load evidence."""

    rounds: Annotated[tuple[Round, ...], Field(min_length=1, max_length=MOST_ROUNDS)]

    @model_validator(mode="after")
    def _follow_from_the_rounds(self) -> Self:
        contradiction = next(_contradictions(self), None)
        if contradiction is not None:
            raise ValueError(contradiction)
        return self

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The challenger's turns, one of each round."""
        return tuple(each.challenger for each in self.rounds)

    @property
    def champions(self) -> tuple[Turn, ...]:
        """The champion's turns, two of each round; none where there is nobody."""
        return tuple(turn for each in self.rounds for turn in (each.champion, each.twin) if turn is not None)

    @property
    def summary(self) -> LoadSummary:
        """What it found, without the rounds."""
        return LoadSummary(**{name: getattr(self, name) for name in LoadSummary.model_fields})


# --- what follows from turns --------------------------------------------------------------------------------------


def _geometric(name: str) -> Callable[[Sequence[Turn]], float]:
    """Return the geometric mean over turns of a latency: one that doubles weighs as much as one that halves."""
    return lambda turns: math.exp(math.fsum(math.log(getattr(turn.paced, name)) for turn in turns) / len(turns))


def _rate(turns: Sequence[Turn]) -> float:
    return _pooled(
        sum(turn.full.requests - turn.full.errors for turn in turns), math.fsum(turn.full.seconds for turn in turns)
    )


def _cpu(turns: Sequence[Turn]) -> float:
    return _pooled(math.fsum(turn.full.cpu_s * 1e6 for turn in turns), sum(turn.full.rows for turn in turns))


def _pooled(above: float, below: float) -> float:
    return max(above, LEAST) / max(below, LEAST)


MEASURES: Final[Mapping[Measure, Callable[[Sequence[Turn]], float]]] = {
    "p50_ms": _geometric("p50_ms"),
    "p95_ms": _geometric("p95_ms"),
    "p99_ms": _geometric("p99_ms"),
    "rate": _rate,
    "cpu_s_per_million": _cpu,
}


def failed(turns: Sequence[Turn]) -> tuple[int, int]:
    """Return how many requests failed, and of how many, in all stretches."""
    stretches = [stretch for turn in turns for stretch in (turn.paced, turn.full)]
    return sum(each.errors for each in stretches), sum(each.requests for each in stretches)


def driver_share(turns: Sequence[Turn]) -> float:
    """Return which share of one processor the driver took while connections asked as fast as they could."""
    full = [turn.full for turn in turns]
    return math.fsum(each.driver_cpu_s for each in full) / math.fsum(each.seconds for each in full)


def _contradictions(figures: LoadFigures) -> Iterator[str]:
    """Say in which figures a summary is not what its rounds give."""
    if figures.setting.rounds != len(figures.rounds):
        yield f"it is said to have {figures.setting.rounds} rounds, and has {len(figures.rounds)}"
        return
    if figures.champion_image is not None and figures.champion is None:
        yield "it names the image of a champion, and there is none"
    paired = [each.champion is not None for each in figures.rounds]
    if any(paired) != all(paired) or any(paired) != (figures.champion is not None):
        yield "the champion is in all rounds and in the summary, or in none"
        return
    if not math.isclose(figures.driver_share, driver_share((*figures.turns, *figures.champions)), rel_tol=_ALIKE):
        yield "the driver's share of a processor is not what its rounds give"
    yield from _unlike("challenger", figures.challenger, figures.turns)
    if figures.champion is not None:
        yield from _unlike("champion", figures.champion, figures.champions)
    for each in figures.against:
        yield from _wrong_ratio(figures, each)


def _unlike(who: str, served: Served, turns: Sequence[Turn]) -> Iterator[str]:
    for name, measure in MEASURES.items():
        yield from _not_this(f"{who}.{name}", getattr(served, name), measure(turns))
    errors, requests = failed(turns)
    yield from _not_this(f"{who}.errors", served.errors, errors / requests)


def _wrong_ratio(figures: LoadFigures, against: Against) -> Iterator[str]:
    if not figures.champions:
        yield f"there is no champion to compare {against.measure} with"
        return
    if min(against.noise.low, against.ratio.low) <= 0:
        yield f"{against.measure}: a ratio is above nothing"
        return
    measure, first, second = MEASURES[against.measure], figures.champions[::2], figures.champions[1::2]
    middle = math.sqrt(measure(first) * measure(second))
    yield from _not_this(f"ratio of {against.measure}", against.ratio, measure(figures.turns) / middle)
    yield from _not_this(f"noise of {against.measure}", against.noise, measure(second) / measure(first))
    narrowest = against.ratio.value * math.exp(-against.reach), against.ratio.value * math.exp(against.reach)
    if against.ratio.low > narrowest[0] * (1 + _ALIKE) or against.ratio.high < narrowest[1] * (1 - _ALIKE):
        yield f"the interval of the ratio of {against.measure} is narrower than the noise"


def _not_this(name: str, found: Measured, value: Value) -> Iterator[str]:
    if not math.isclose(found.value, value, rel_tol=_ALIKE, abs_tol=1e-12):
        yield f"{name} is said to be {found.value:g}, but its rounds give {value:g}"
    if not found.low * (1 - _ALIKE) <= found.value <= found.high * (1 + _ALIKE):
        yield f"{name} lies outside its own interval"
