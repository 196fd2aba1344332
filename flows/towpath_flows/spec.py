"""`model.yaml`: everything a model's owner decides, as frozen models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from towpath_flows import training_spec
from towpath_flows.data_spec import Data, FeastSource, QualitySpec
from towpath_flows.evidence_spec import BehaviourSpec, BusinessMetric, CardSpec, LoadSpec, ThresholdSpec
from towpath_flows.feature_spec import Feature
from towpath_flows.online_spec import OnlineSpec
from towpath_flows.training_spec import TrainSpec, TuneSpec
from towpath_flows.units import Cost, Fraction, Frequency, Rate, Share
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.records.base import Duration, Name, Record
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.signature import Task

SPEC = "model.yaml"

Framework = training_spec.Framework
Reference = training_spec.Reference
ColumnName = training_spec.ColumnName
CheckName = Name

BinaryMetric = Literal[
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "specificity",
    "mcc",
]
MulticlassMetric = Literal[
    "accuracy", "balanced_accuracy", "log_loss", "f1", "roc_auc", "brier", "calibration_error", "mcc"
]
RegressionMetric = Literal["rmse", "mae", "r2", "median_absolute_error", "mape", "bias"]
Metric = BinaryMetric | MulticlassMetric | RegressionMetric
METRICS: Mapping[Task, tuple[str, ...]] = {
    "binary": get_args(BinaryMetric),
    "multiclass": get_args(MulticlassMetric),
    "regression": get_args(RegressionMetric),
}


class SplitSpec(Record):
    """Shares of the rows that are kept from training."""

    validation: Fraction = 0.2
    test: Fraction = 0.2

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.validation + self.test >= 1:
            message = (
                f"validation and test take {self.validation + self.test:.0%} of the rows: nothing is left to train on"
            )
            raise ValueError(message)
        return self


class MetricGate(Record):
    """A measure on the test set has a floor or a ceiling."""

    metric: Metric | Name
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.min is None) == (self.max is None):
            message = "give either min or max"
            raise ValueError(message)
        return self

    def __str__(self) -> str:
        """Name the gate as reviewers read it."""
        return f"{self.metric} ≥ {self.min:g}" if self.min is not None else f"{self.metric} ≤ {self.max:g}"


class ComparisonGate(Record):
    """Non-inferiority: the challenger may lose at most `margin` to the champion, at this confidence."""

    metric: Metric | Name
    against: Literal["champion"]
    margin: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95

    def __str__(self) -> str:
        """Name the gate as reviewers read it."""
        return f"{self.metric} ≥ champion - {self.margin:g}"


class SliceGate(Record):
    """No value of a column fares worse than the rest by more than `gap`, at this false discovery rate."""

    metric: Metric | Name
    slice: ColumnName
    gap: Annotated[float, Field(gt=0)]
    fdr: Fraction = 0.05

    def __str__(self) -> str:
        """Name the gate as reviewers read it."""
        return f"{self.metric} by {self.slice} within {self.gap:g}"


class CheckGate(Record):
    """A named check passes."""

    check: CheckName

    def __str__(self) -> str:
        """Name the gate as reviewers read it."""
        return f"check {self.check}"


def _kind_of_gate(value: Any) -> str:  # noqa: ANN401 (pydantic hands over whatever the file holds)
    has = value.__contains__ if isinstance(value, Mapping) else lambda field: hasattr(value, field)
    return next((kind for kind in ("check", "against", "slice") if has(kind)), "metric")


Gate = Annotated[
    Annotated[MetricGate, Tag("metric")]
    | Annotated[ComparisonGate, Tag("against")]
    | Annotated[SliceGate, Tag("slice")]
    | Annotated[CheckGate, Tag("check")],
    Discriminator(_kind_of_gate),
]


class ServeSpec(Record):
    """What callers may expect of the service."""

    p95: Duration | None = Field(default=None, description="95 % of requests are answered in this time; null: no limit")
    p99: Duration = Field(
        default="50ms", validate_default=True, description="99 % of requests are answered in this time"
    )
    rate: Rate = Field(default="200/s", validate_default=True, description="requests a second that it must bear")
    errors: Share = Field(default="0.1%", validate_default=True, description="share of requests that may fail")
    cpu_hour: Cost | None = Field(default=None, description="price of an hour of one CPU, to say what releases cost")
    load: LoadSpec = LoadSpec()
    online: OnlineSpec | None = Field(
        default=None, description="the service looks up the features of data.train.feast; null: callers send them"
    )


class DriftSpec(Record):
    """How often the monitor may cry wolf."""

    false_alarms: Frequency = Field(default="1 per 30d", validate_default=True)


class LabelsSpec(Record):
    """When the truth arrives."""

    delay: Duration = Field(default="1d", validate_default=True)


class MonitorSpec(Record):
    """How live data is watched."""

    every: Duration = Field(default="1h", validate_default=True)
    window: Duration = Field(default="30d", validate_default=True, description="how much recent data is compared")
    drift: DriftSpec = DriftSpec()
    labels: LabelsSpec = LabelsSpec()


class ModelSpec(Record):
    """`model.yaml`."""

    name: Name
    task: Task = "binary"
    target: ColumnName
    positive: str | int | bool | None = Field(
        default=None, description="binary: the value whose probability is answered; default: the greater of the two"
    )
    threshold: Fraction | ThresholdSpec = Field(
        default=0.5,
        description="binary: probability from which it is decided, or how it is chosen on validation rows; multiclass: "
        "what decisions cost",
    )
    time: ColumnName | None = Field(default=None, description="split and monitor by this column; null splits at random")
    entity: ColumnName | None = Field(default=None, description="names the thing predicted for; not a feature")
    exclude: tuple[ColumnName, ...] = Field(default=(), description="columns not known at prediction time")
    data: Data
    schema_: Reference = Field(alias="schema", description="module:attribute of a pandera model below src/")
    features: Reference | Annotated[tuple[Feature, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="module:function that returns a scikit-learn transformer; or a list of features to make; null "
        "derives them from the schema",
    )
    split: SplitSpec = SplitSpec()
    train: TrainSpec = TrainSpec()
    tune: TuneSpec = TuneSpec()
    quality: QualitySpec = QualitySpec()
    business: dict[Name, BusinessMetric] = Field(default={}, description="measures of your own, for gates and pages")
    gates: tuple[Gate, ...] = ()
    behaviour: BehaviourSpec = BehaviourSpec()
    card: CardSpec = CardSpec()
    serve: ServeSpec = ServeSpec()
    monitor: MonitorSpec = MonitorSpec()

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        roles = {"target": self.target, "time": self.time, "entity": self.entity}
        roles["train.weights"] = self.train.weights
        taken = [column for column in roles.values() if column is not None]
        if len(set(taken)) != len(taken):
            message = f"target, time, entity and weights must be different columns: {', '.join(taken)}"
            raise ValueError(message)
        for role, column in roles.items():
            if column in self.exclude:
                message = f"exclude names {column}, which is the {role}: it is never a feature; remove it from exclude"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _training_fits_the_task(self) -> Self:
        if self.train.class_weights is not None and self.task == "regression":
            message = "train.class_weights need classes; weigh the rows of a regression by a column: train.weights"
            raise ValueError(message)
        if self.train.monotone and self.task == "multiclass":
            message = "train.monotone needs one answer that rises or falls; a multiclass task has one for each class"
            raise ValueError(message)
        if self.train.cluster is not None and self.tune.workers > 1:
            message = "tune.workers share this machine; with train.cluster each of its workers tries one set: remove it"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _window_has_a_time(self) -> Self:
        if self.data.window is not None and self.time is None:
            message = "data.window needs `time`: name the column that tells when a row happened"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _looks_up_what_a_store_has(self) -> Self:
        if self.serve.online is not None and not isinstance(self.data.train, FeastSource):
            message = "serve.online looks up the features of data.train.feast, and rows come from elsewhere: remove it"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _gates_fit_the_task(self) -> Self:
        known = (*METRICS[self.task], *self.business, *(("cost",) if self._is_priced else ()))
        for gate in self.gates:
            if not isinstance(gate, CheckGate) and gate.metric not in known:
                message = f"{gate.metric} does not measure a {self.task} task; it has {', '.join(known)}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _measures_and_rules_fit(self) -> Self:
        taken = sorted(set(self.business) & {"cost", *(name for names in METRICS.values() for name in names)})
        if taken:
            message = f"business: there is a metric called {', '.join(taken)} already; choose another name"
            raise ValueError(message)
        if isinstance(self.threshold, ThresholdSpec):
            priced = self.threshold.costs is not None
            if priced != (self.task == "multiclass") or self.task == "regression":
                message = {
                    "binary": "threshold.costs are for many classes; a binary task has threshold.cost",
                    "multiclass": "threshold: a multiclass task decides without one, or by `costs`; remove it",
                    "regression": "threshold: a regression task decides without one; remove it",
                }[self.task]
                raise ValueError(message)
        return self

    @property
    def _is_priced(self) -> bool:
        return isinstance(self.threshold, ThresholdSpec) and bool(self.threshold.cost or self.threshold.costs)


def load_spec(root: Path) -> ModelSpec:
    """Return the spec in `root`/model.yaml.

    Raises:
        NotFoundError: there is no such file.
        InvalidFileError: naming every wrong field with its line, what was expected, and a near name for unknown keys.
    """
    path = root / SPEC
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no {SPEC} in {root}",
            why="It says what is trained and how; every model repository has one at its top.",
            hint="Change into a model repository, or make one with `copier copy`.",
        ) from error
    except (UnicodeDecodeError, OSError) as error:
        raise InvalidFileError(f"{path} cannot be read as text", why=str(error)) from error
    return parse_yaml(text, ModelSpec, source=SPEC)
