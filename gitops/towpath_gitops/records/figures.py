"""The figures behind evidence: what `details` holds for each kind, parsed and bounded, so that readers may rely on it.

Flows write them, the decision document and its pictures are made from them alone.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.base import Digest, Line, Name, Record
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.signature import Engine, Task

MOST_METRICS = 40
MOST_BINS = 20
MOST_MEASURES = 500
MOST_POINTS = 100
MOST_SEGMENTS = 100
MOST_SLICES = 500
# Wide enough for whatever is predicted; bounded, so that sums and differences stay finite.
LARGEST = 1e100

Figures = TypeVar("Figures", bound=Record)

Value = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Interval = tuple[Value, Value]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
# First and last moment of rows, ISO 8601; nothing where the model has no time column.
Window = tuple[Line | None, Line | None]


class Measured(Record):
    """A value and the ends of its 95 % interval."""

    value: Value
    low: Value
    high: Value
    label: Line | None = Field(default=None, description="what people call it")


class Bin(Record):
    """Rows whose predicted probability lies in one tenth of the scale."""

    predicted: Share = Field(description="mean of the probabilities")
    observed: Share = Field(description="share of the rows that came true")
    rows: PositiveInt


Bins = Annotated[tuple[Bin, ...], Field(max_length=MOST_BINS)]


class Calibration(Record):
    """Does what is promised come true? Expected calibration error over tenths, and the curve behind it."""

    error: Value
    interval: Interval | None = Field(default=None, description="95 % bootstrap interval of the error")
    bins: Bins


class SliceFigures(Record):
    """One group of rows: the metric there, and how much worse than the whole it is."""

    column: Line = Field(alias="slice")
    value: Line
    rows: PositiveInt
    measured: Value | None
    interval: Interval | None
    gap: Value | None = Field(description="how much worse than overall")
    p_value: Share


class QualityFigures(Record):
    """What one rule of `quality` in model.yaml measured, in one column or in whole rows."""

    rule: Name
    column: Line | None = None
    verdict: Verdict
    measured: Value | None = None
    limit: Value | None = None
    interval: Interval | None = Field(default=None, description="95 % interval of `measured`")
    needed_rows: PositiveInt | None = Field(default=None, description="rows that would settle an inconclusive verdict")


class OperatingPoint(Record):
    """What one threshold decides."""

    threshold: Share
    recall: Share = Field(description="share of the positives that are found")
    precision: Share = Field(description="share of the alarms that are right; 1 where there is none")
    false_alarms: Share = Field(description="share of the negatives that are taken for positives")
    positives: Share = Field(description="share of the rows that are decided for")
    cost: Value | None = Field(default=None, description="mean cost of a row, where costs are stated")


class ChosenThreshold(Record):
    """How the threshold was chosen, on validation rows that the model judging them had not learned from."""

    value: Share
    rule: Line
    rows: PositiveInt
    point: OperatingPoint = Field(description="what it decides on those rows")
    at_half: OperatingPoint = Field(description="what 0.5 would decide there")


class DataFigures(Record):
    """`details` of data evidence."""

    rows: dict[Literal["train", "validation", "test"], NonNegativeInt]
    window: Window = (None, None)
    quality: Annotated[tuple[QualityFigures, ...], Field(max_length=MOST_MEASURES)] = ()

    @property
    def total(self) -> int:
        """How many rows there are in all."""
        return sum(self.rows.values())


class EvaluationFigures(Record):
    """`details` of evaluation evidence: every metric of the task on the test rows, judged or not."""

    rows: PositiveInt
    window: Window
    metrics: Annotated[dict[Name, Measured], Field(max_length=MOST_METRICS)]
    slices: Annotated[tuple[SliceFigures, ...], Field(max_length=MOST_SLICES)] = ()
    calibration: Bins | None = Field(
        default=None, description="of a binary model; of many classes: the chance of the class that is decided for"
    )
    threshold: ChosenThreshold | None = Field(default=None, description="null where model.yaml states a number")
    curve: Annotated[tuple[OperatingPoint, ...], Field(max_length=MOST_POINTS)] = Field(
        default=(), description="binary: what other thresholds would decide on the test rows, highest first"
    )


class BehaviourFigures(Record):
    """`details` of behaviour evidence."""

    rows: PositiveInt = Field(description="rows of the sample that the checks were run on")


class MetricDifference(Record):
    """One metric of both releases on the same rows, and challenger minus champion."""

    metric: Name
    label: Line
    greater_is_better: bool
    unit: Literal["1", "target"] = Field(default="1", description="`target`: in units of what is predicted")
    champion: Value
    challenger: Value
    difference: Value
    interval: Interval | None = Field(description="paired bootstrap interval; null where it has none")
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    margin: NonNegative | None = Field(default=None, description="how much worse a gate lets it be; null: no gate")

    @property
    def gain(self) -> float:
        """The difference turned so that positive is better."""
        return self.difference if self.greater_is_better else -self.difference

    @property
    def gain_interval(self) -> Interval | None:
        """The interval turned so that positive is better."""
        if self.interval is None or self.greater_is_better:
            return self.interval
        return -self.interval[1], -self.interval[0]

    @property
    def standing(self) -> Literal["better", "worse", "unclear"]:
        """Whether the whole interval speaks for the challenger, against it, or neither."""
        gain = self.gain_interval
        if gain is None or gain[0] <= 0 <= gain[1]:
            return "unclear"
        return "better" if gain[0] > 0 else "worse"


class Segment(Record):
    """Rows of the replay that share a value: how many of them are decided differently."""

    column: Line
    value: Line
    rows: PositiveInt
    flips: NonNegativeInt
    interval: tuple[Share, Share] = Field(description="95 % interval of the share of flips (Wilson 1927)")

    @model_validator(mode="after")
    def _are_some_of_them(self) -> Self:
        if self.flips > self.rows:
            message = f"{self.flips} of {self.rows} rows cannot flip"
            raise ValueError(message)
        return self

    @property
    def share(self) -> float:
        """The share of its rows that flip."""
        return self.flips / self.rows


class Replay(Record):
    """The fixed sample of later rows that both releases answered, and what they decide differently there."""

    rows: PositiveInt
    digest: Digest = Field(description="digest of the sample's rows: the same rows, the same digest")
    window: Window
    unanswered: NonNegativeInt = Field(default=0, description="rows left out, because one of the two gives no number")
    tolerance: NonNegative | None = Field(
        default=None, description="regression: answers that differ by more count as flips; null for classes"
    )
    flips: NonNegativeInt
    corrected: NonNegativeInt = Field(description="flips that became right; regression: that came nearer to the truth")
    spoiled: NonNegativeInt = Field(description="flips that became wrong; regression: that went farther from the truth")
    segments: Annotated[tuple[Segment, ...], Field(max_length=MOST_SEGMENTS)] = ()

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if self.flips > self.rows or self.corrected + self.spoiled > self.flips:
            message = "there are no more flips than rows, and none is both corrected and spoiled"
            raise ValueError(message)
        return self

    @property
    def share(self) -> float:
        """The share of rows that flip."""
        return self.flips / self.rows

    @property
    def ranked(self) -> tuple[Segment, ...]:
        """The segments, worst first: by the share of flips that even luck leaves, so that small ones do not win."""
        order = sorted(self.segments, key=lambda each: (-each.interval[0], -each.share, each.column, each.value))
        return tuple(order)

    @property
    def worst(self) -> Segment | None:
        """The segment in which most decisions flip; None where nothing flips anywhere."""
        return next((segment for segment in self.ranked if segment.flips), None)


class Rivals(Record):
    """What champion and challenger answered to the same later rows."""

    task: Task
    rows: PositiveInt = Field(description="rows that the metrics were measured on")
    window: Window
    metrics: Annotated[tuple[MetricDifference, ...], Field(min_length=1, max_length=MOST_METRICS)]
    replay: Replay
    champion: Calibration | None = Field(default=None, description="calibration of the champion; binary only")
    challenger: Calibration | None = Field(default=None, description="calibration of the challenger; binary only")


class Footprint(Record):
    """What one release costs where it serves, in the serving engine on one thread, on the rows of its golden requests.

    Milliseconds are medians of a whole request without the network: bytes in, bytes out.
    """

    engine: Engine
    one_row_ms: Positive
    hundred_rows_ms: Positive
    cpu_s_per_million: Positive = Field(description="CPU seconds for a million rows, in requests of a hundred")
    artifact_bytes: PositiveInt
    memory_bytes: NonNegativeInt | None = Field(description="of a loaded lane; null where the system does not tell")


class Footprints(Record):
    """Both releases, measured side by side in one process."""

    champion: Footprint | None = None
    challenger: Footprint


class Price(Record):
    """What an hour of one CPU costs, as the owner states it."""

    amount: NonNegative
    currency: Currency

    def of_million(self, footprint: Footprint) -> float:
        """Return what a million predictions cost."""
        return self.amount * footprint.cpu_s_per_million / 3600


class ComparisonFigures(Record):
    """`details` of comparison evidence. Without `rivals`, `silence` says why the two could not be compared."""

    rivals: Rivals | None = None
    silence: Line | None = None
    footprints: Footprints
    price: Price | None = Field(default=None, description="of a CPU hour; null when the owner states none")

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.rivals is None) == (self.silence is None):
            message = "give either rivals, or in silence why there are none"
            raise ValueError(message)
        return self


def is_bounded(value: float) -> bool:
    """Return whether a number can stand in figures: finite, and no larger than anything that is measured."""
    return abs(value) <= LARGEST  # false for NaN, too


def read(evidence: Evidence, figures: type[Figures]) -> Figures:
    """Return the figures in the details of evidence.

    Raises:
        InvalidFileError: they are not such figures.
    """
    return parse_json(json.dumps(evidence.details), figures, source=f"{evidence.kind} evidence")


def find(evidence: Mapping[Kind, Evidence], kind: Kind, figures: type[Figures]) -> Figures | None:
    """Return the figures of one kind of evidence; None where there are none that this version can read."""
    found = evidence.get(kind)
    try:
        return read(found, figures) if found is not None and found.details else None
    except InvalidFileError:
        return None
