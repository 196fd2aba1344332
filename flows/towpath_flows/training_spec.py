"""The parts of `model.yaml` that say how models are fitted and how their parameters are searched."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints, model_validator

from towpath_flows.units import EnvironmentName
from towpath_gitops.records.base import Duration, Record

Framework = Literal["xgboost", "lightgbm"]
Direction = Literal["increasing", "decreasing"]
# `module:attribute` in the owner's own code below src/.
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


Strictness = Literal["tell", "refuse"]


class FeatureChecks(Record):
    """What comes of features that look wrong: `tell` passes and says so, `refuse` keeps the model out."""

    constant: Strictness = Field(default="tell", description="the same in every row")
    duplicate: Strictness = Field(default="tell", description="equal to another in every row")
    missing: Strictness = Field(default="tell", description="missing in every row")
    cardinality: Strictness = Field(
        default="refuse", description="text that differs in most rows, or one column that became very many"
    )


class ClusterSpec(Record):
    """The Dask cluster that fits and searches where one machine is not enough: a running one, or processes here."""

    address: Annotated[str, StringConstraints(pattern=r"^(tcp|tls)://[^\s/@]+:\d{1,5}$")] | None = Field(
        default=None, description="of the scheduler, as tcp://scheduler:8786"
    )
    env: EnvironmentName | None = Field(default=None, description="environment variable that holds the address")
    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="processes that are started on this machine, which share its cores"
    )
    ports: Annotated[int, Field(ge=1024, le=65_000)] | None = Field(
        default=None,
        description="first of the ports on which LightGBM's workers talk, one for each on a machine; default: any that "
        "are free",
    )

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if sum(each is not None for each in (self.address, self.env, self.workers)) != 1:
            message = "give one of address, env and workers: where is the cluster?"
            raise ValueError(message)
        return self


class TrainSpec(Record):
    """How models are fitted."""

    frameworks: Annotated[tuple[Framework, ...], Field(min_length=1)] = Field(
        default=("xgboost", "lightgbm"), description="all are tried; the folds of `tune` say which is taken"
    )
    seed: NonNegativeInt = 7
    rounds: Annotated[int, Field(ge=1, le=20_000)] = Field(default=400, description="trees at most")
    patience: PositiveInt = Field(default=30, description="rounds without gain on validation after which it stops")
    weights: ColumnName | None = Field(default=None, description="column of what each row counts; never a feature")
    class_weights: Literal["balanced"] | Mapping[str | bool | int, PositiveFloat] | None = Field(
        default=None,
        description="what a row of each class counts; `balanced` lets all classes count alike. Probabilities then "
        "answer for the weighted rows: look at the calibration",
    )
    monotone: Mapping[ColumnName, Direction] = Field(
        default={}, description="columns with which the answer may only rise (increasing) or fall (decreasing)"
    )
    checks: FeatureChecks = FeatureChecks()
    cluster: ClusterSpec | None = Field(
        default=None, description="where to fit and search; null on this machine, in this process"
    )

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        if len(set(self.frameworks)) != len(self.frameworks):
            message = f"frameworks must differ: {', '.join(self.frameworks)}"
            raise ValueError(message)
        if self.weights is not None and self.weights in self.monotone:
            message = f"{self.weights} is the column of weights: it is no feature, and cannot be monotone"
            raise ValueError(message)
        return self


class Range(Record):
    """Numbers from `low` to `high`, both included; whole ones where both ends are whole."""

    low: int | float
    high: int | float
    log: bool = Field(default=False, description="draw evenly on the scale of magnitudes")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            message = f"low ({self.low:g}) must be below high ({self.high:g})"
            raise ValueError(message)
        if self.log and self.low <= 0:
            message = f"log needs a low above zero, not {self.low:g}"
            raise ValueError(message)
        return self


# A parameter as the libraries take it, and where it is looked for: a range, a list to choose from, or one fixed value.
Value = bool | int | float | str
Dimension = Range | Annotated[tuple[Value, ...], Field(min_length=1)] | Value
Space = Mapping[str, Dimension]


class TuneSpec(Record):
    """How parameters are searched."""

    trials: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=20, description="each framework's defaults are the first; 0 compares only these"
    )
    timeout: Duration = Field(default="10m", validate_default=True)
    pruning: bool = Field(default=True, description="give a trial up that does worse than most did by then")
    folds: Annotated[int, Field(ge=1, le=20)] = 3
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="trials at a time; the cores are shared out among them"
    )
    space: Reference | Mapping[Framework, Space] | None = Field(
        default=None,
        description="where parameters are looked for: framework → parameter → {low, high, log}, a list, or one value, "
        "over the built-in ranges; or module:function(trial, framework) below src/ that returns all parameters",
    )
