"""`Golden`: fixed requests whose answers were recorded in training; every environment must repeat them."""

from typing import Annotated

from pydantic import Field

from towpath_gitops.records.base import ApiVersion, Record

Value = float | int | bool | str | None
# Values as they were answered in training; a service may differ from them by no more than this.
TOLERANCE = 1e-6


class Case(Record):
    """One request of one or more rows, and the numbers expected for each row.

    Binary: the probability of the second class. Multiclass: of every class. Regression: the value.
    """

    rows: Annotated[tuple[dict[str, Value], ...], Field(min_length=1)]
    expected: tuple[tuple[float, ...], ...]


class Golden(Record):
    """`golden.json` of a model's artifact."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]
