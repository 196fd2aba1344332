"""Features that are declared in `model.yaml`: one record for each transformer of `towpath_flows.transformers`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PositiveFloat, Tag, model_validator

from towpath_flows.training_spec import ColumnName
from towpath_flows.units import Fraction
from towpath_gitops.records.base import Record

Period = Literal["second", "minute", "hour", "weekday", "day_of_month", "day_of_year", "month", "quarter"]


class CyclicFeature(Record):
    """Sine and cosine of a number that comes round again, beside the number itself."""

    cyclic: ColumnName
    period: Period | PositiveFloat = Field(description="a part of time, or the length in the column's own unit")


class RatioFeature(Record):
    """The first column by the second, beside both."""

    ratio: tuple[ColumnName, ColumnName]


class LogFeature(Record):
    """The signed logarithm of 1 + size, in place of the number."""

    log: ColumnName


class ClipFeature(Record):
    """The number within limits, in place of the number."""

    clip: ColumnName
    low: float | None = Field(default=None, description="null learns the training rows' first hundredth")
    high: float | None = Field(default=None, description="null learns the training rows' ninety-ninth hundredth")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            message = f"low ({self.low:g}) must be below high ({self.high:g})"
            raise ValueError(message)
        return self


class BucketFeature(Record):
    """The number of the bucket, in place of the number."""

    bucket: ColumnName
    bins: Annotated[int, Field(ge=2, le=1000)] = 8


class RareFeature(Record):
    """A column for each value that is not rare, and one for all that are, in place of the text."""

    rare: ColumnName
    share: Fraction = Field(default=0.01, description="of the rows; less is rare")


class TargetFeature(Record):
    """The mean target of the rows with the same text, out of fold, in place of the text."""

    target: ColumnName


KINDS = ("cyclic", "ratio", "log", "clip", "bucket", "rare", "target")


def _kind_of_feature(value: Any) -> str:  # noqa: ANN401 (pydantic hands over whatever the file holds)
    has = value.__contains__ if isinstance(value, Mapping) else lambda field: hasattr(value, field)
    return next((kind for kind in KINDS if has(kind)), KINDS[0])


Feature = Annotated[
    Annotated[CyclicFeature, Tag("cyclic")]
    | Annotated[RatioFeature, Tag("ratio")]
    | Annotated[LogFeature, Tag("log")]
    | Annotated[ClipFeature, Tag("clip")]
    | Annotated[BucketFeature, Tag("bucket")]
    | Annotated[RareFeature, Tag("rare")]
    | Annotated[TargetFeature, Tag("target")],
    Discriminator(_kind_of_feature),
]
