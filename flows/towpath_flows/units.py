"""Quantities as people write them in `model.yaml`: shares, rates, frequencies, prices, moments, names."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, TypeAdapter, WithJsonSchema

from towpath_gitops.records.base import Duration, Record, format_duration
from towpath_gitops.records.figures import Price

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,99}$")]
_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def _share(value: object) -> object:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value) if isinstance(value, str) else None
    if match:
        return float(match[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    message = "write a share as a percentage or a fraction: 0.1% or 0.001"
    raise ValueError(message)


def _rate(value: object) -> object:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)", value) if isinstance(value, str) else None
    if match:
        return float(match[1]) / {"s": 1, "m": 60, "h": 3600}[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    message = "write a rate as a number per second, minute or hour: 200/s, 600/m or 1000/h"
    raise ValueError(message)


def _price(value: object) -> object:
    if isinstance(value, Price):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ([A-Z]{3})", value) if isinstance(value, str) else None
    if match:
        return Price(amount=float(match[1]), currency=match[2])
    message = "write a price as an amount and a currency: 0.04 USD"
    raise ValueError(message)


def _moment(value: object) -> object:
    """Read ISO 8601; a moment without a time zone is in UTC, a day without a time starts at midnight UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            message = "write a day or a moment as in ISO 8601: 2026-01-31 or 2026-01-31T18:00:00Z"
            raise ValueError(message) from error
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return datetime.combine(aware.date(), aware.timetz())  # YAML's own subclass stays behind
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    message = "write a day or a moment as in ISO 8601: 2026-01-31 or 2026-01-31T18:00:00Z"
    raise ValueError(message)


Share = Annotated[
    float,
    BeforeValidator(_share),
    Field(ge=0, le=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "examples": ["0.1%"]},
            ]
        }
    ),
]
Fraction = Annotated[Share, Field(gt=0, lt=1)]  # of something and not all of it
# How much more something may be: a share that may exceed the whole.
Excess = Annotated[
    float,
    BeforeValidator(_share),
    Field(gt=0, le=100),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "examples": ["10%"]},
            ]
        }
    ),
]
# Per second.
Rate = Annotated[
    float,
    BeforeValidator(_rate),
    Field(gt=0),
    PlainSerializer(lambda value: f"{value:g}/s", return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*[smh]$", "examples": ["200/s"]},
            ]
        }
    ),
]
Cost = Annotated[
    Price,
    BeforeValidator(_price),
    PlainSerializer(lambda price: f"{price.amount:g} {price.currency}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? [A-Z]{3}$", "examples": ["0.04 USD"]}),
]
# Always aware, always UTC.
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}", "examples": ["2026-01-31"]}),
]


class Occurrences(Record):
    """So many times in so long: `1 per 30d`."""

    count: Annotated[float, Field(gt=0)]
    per: Duration

    @property
    def per_day(self) -> float:
        """Expected number in a day."""
        return self.count * 86400 / self.per.total_seconds()

    def __str__(self) -> str:
        """Write it as in model.yaml."""
        return f"{self.count:g} per {format_duration(self.per)}"


def _frequency(value: object) -> object:
    if isinstance(value, Occurrences):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) per (\S+)", value) if isinstance(value, str) else None
    if match:
        per = _DURATION.validate_python(match[2])
        if per > timedelta(0):
            return Occurrences(count=float(match[1]), per=per)
    message = "write a frequency as a number and a duration: 1 per 30d"
    raise ValueError(message)


Frequency = Annotated[
    Occurrences,
    BeforeValidator(_frequency),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d+(\.\d+)? per \d+(\.\d+)?(ms|s|m|h|d)$",
            "examples": ["1 per 30d"],
        }
    ),
]
