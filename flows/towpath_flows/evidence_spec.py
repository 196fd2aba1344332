"""The parts of `model.yaml` that say how a model is judged: behaviour, the threshold, the owner's own measures."""

from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, StringConstraints, field_validator, model_validator

from towpath_flows.training_spec import ColumnName, Direction, Reference
from towpath_flows.units import Excess, Fraction, Share
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.base import Duration, Line, Name, Record
from towpath_gitops.records.load import MOST_ROUNDS, Shape
from towpath_gitops.records.load_gates import FEWEST_ROUNDS
from towpath_gitops.records.signature import Matrix

_SHORTEST_S = 0.2  # of a stretch of a load test

Script = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]+\.py$")]


class MonotoneSpec(Record):
    """In which direction answers may move when one column grows and all others stay."""

    columns: dict[ColumnName, Direction] = Field(default={}, description="column → increasing or decreasing")
    violations: Share = Field(default=0, description="share of rows that may go the other way")
    tolerance: NonNegativeFloat = Field(default=0.0, description="how far an answer may go the other way in a step")


class PerturbationSpec(Record):
    """What the worst small changes of a row's numbers, all at once, may do."""

    step: Share = Field(default="1%", validate_default=True, description="of each column's interquartile range")
    flips: Share | None = Field(
        default=None, description="share of decisions that may flip; null is 25%, and 50% of a regression's values"
    )


class UnitsSpec(Record):
    """What one column in another unit may do, where the limits of the schema let it pass."""

    factors: Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=10)] = (1000.0, 0.001)
    columns: tuple[ColumnName, ...] | None = Field(default=None, description="null for every column of fractions")
    flips: Share | None = Field(
        default=None, description="share of decisions that may flip; null measures and does not judge"
    )


class OutlierSpec(Record):
    """How far outliers lie, and how far answers may follow them."""

    reach: PositiveFloat = Field(default=10.0, description="interquartile ranges beyond the quartiles")
    stretch: NonNegativeFloat = Field(
        default=1.0, description="regression: how far answers may leave the known range of the target, in its widths"
    )


class BehaviourSpec(Record):
    """How the model must behave, whatever it was trained on."""

    rows: Annotated[int, Field(ge=10, le=10_000)] = Field(default=500, description="test rows that are asked about")
    ignored: tuple[ColumnName, ...] = Field(default=(), description="columns that must not matter")
    monotone: MonotoneSpec = MonotoneSpec()
    perturbations: PerturbationSpec = PerturbationSpec()
    units: UnitsSpec = UnitsSpec()
    outliers: OutlierSpec = OutlierSpec()
    memory: Annotated[float, Field(gt=0.5, le=1)] = Field(
        default=0.85, description="ROC AUC with which an answer may give away that its row was learned from"
    )
    latency: Duration | None = Field(default=None, description="for one row in the engine; null takes serve.p99")
    skip: dict[Name, Line] = Field(default={}, description="checks that are left out, each with the reason")
    own: Script | None = Field(default=None, description="file of your own checks; null takes tests/behaviour.py")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is named."""
        return (*self.ignored, *self.monotone.columns, *(self.units.columns or ()))

    @model_validator(mode="after")
    def _is_either(self) -> Self:
        both = sorted(set(self.ignored) & set(self.monotone.columns))
        if both:
            message = f"a column that must not matter has no direction: {', '.join(both)}"
            raise ValueError(message)
        return self


class CostMatrix(Record):
    """What each outcome of a decision costs, in any one unit; a gain is negative."""

    false_alarm: float = Field(description="decided for, and it was not so")
    miss: float = Field(description="decided against, and it was so")
    hit: float = 0.0
    rejection: float = Field(default=0.0, description="decided against, and it was not so")

    @model_validator(mode="after")
    def _mistakes_cost_more(self) -> Self:
        if self.false_alarm <= self.rejection or self.miss <= self.hit:
            message = "a false alarm must cost more than a rejection, and a miss more than a hit"
            raise ValueError(message)
        return self


def label_of(value: object) -> str:
    """Return the label of a class as a signature has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _labelled(row: object) -> object:
    return {label_of(name): price for name, price in row.items()} if isinstance(row, dict) else row


class ThresholdSpec(Record):
    """How the threshold is chosen on the validation rows: by cost, or by one rate; or what many classes cost."""

    cost: CostMatrix | None = None
    costs: dict[str, dict[str, float]] | None = Field(
        default=None,
        description="multiclass: true class → class decided for → what that costs, in any one unit; the right decision "
        "costs 0 unless it is listed",
    )
    recall: Fraction | None = Field(default=None, description="find at least this share of the positives")
    precision: Fraction | None = Field(default=None, description="be right in at least this share of the alarms")
    false_alarms: Fraction | None = Field(default=None, description="alarm at most this share of the negatives")
    positives: Fraction | None = Field(default=None, description="decide for this share of the rows")

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        if len(self._given()) != 1:
            message = "give one of cost, costs, recall, precision, false_alarms and positives"
            raise ValueError(message)
        return self

    @field_validator("costs", mode="before")
    @classmethod
    def _names_are_labels(cls, value: object) -> object:
        """Take labels that YAML reads as numbers or truths as the target spells them."""
        if not isinstance(value, dict):
            return value
        return {label_of(truth): _labelled(row) for truth, row in value.items()}

    @model_validator(mode="after")
    def _each_mistake_has_its_price(self) -> Self:
        costs = self.costs or {}
        for truth, row in costs.items():
            lacking = [name for name in costs if name not in row and name != truth]
            unknown = [name for name in row if name not in costs]
            right = row.get(truth, 0.0)
            cheaper = [name for name, price in row.items() if name != truth and price <= right]
            for wrong, words in (
                (lacking, "says nothing of deciding for {}"),
                (unknown, "prices {}, which has no costs of its own"),
                (cheaper, f"prices the mistake {{}} no dearer than the right decision ({right:g})"),
            ):
                if wrong:
                    message = f"costs.{truth} {words.format(', '.join(wrong))}"
                    raise ValueError(message)
        return self

    def matrix(self, classes: tuple[str, ...]) -> Matrix:
        """Return the costs in the order of `classes`: rows true, columns decided for.

        Raises:
            InvalidFileError: they name other classes than the target has.
        """
        costs = self.costs or {}
        if set(costs) != set(classes):
            lacking, unknown = sorted(set(classes) - set(costs)), sorted(set(costs) - set(classes))
            raise InvalidFileError(
                "model.yaml: threshold.costs names other classes than the target has",
                why=f"Without costs: {', '.join(lacking) or 'none'}. Unknown: {', '.join(unknown) or 'none'}.",
                hint=f"The classes are {', '.join(classes)}.",
            )
        return tuple(tuple(costs[truth].get(name, 0.0) for name in classes) for truth in classes)

    def _given(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def __str__(self) -> str:
        """Name the rule as readers understand it."""
        if self.cost is not None:
            return (
                f"least mean cost, with {self.cost.false_alarm:g} for a false alarm and {self.cost.miss:g} for a miss"
            )
        if self.costs is not None:
            return "least expected cost"
        (name,) = self._given()
        words = {
            "recall": "find at least {:.4g} of the positives, with the fewest alarms",
            "precision": "alarm as often as possible, right in at least {:.4g} of the alarms",
            "false_alarms": "alarm as often as possible, but at most {:.4g} of the negatives",
            "positives": "decide for {:.4g} of the rows",
        }
        return words[name].format(getattr(self, name))


class BusinessMetric(Record):
    """A measure of the owner's own: a function that gives each test row a value; the metric is their mean."""

    function: Reference = Field(description="module:function below src/; it may ask for rows, truth, decided, answers")
    greater_is_better: bool = True
    label: Line | None = Field(default=None, description="what people call it")
    unit: Line | None = Field(default=None, description="of one row's value, such as EUR")


class LoadSpec(Record):
    """How champion and candidate are driven side by side, and how much worse the candidate may be (`towpath load`)."""

    rounds: Annotated[int, Field(ge=FEWEST_ROUNDS, le=MOST_ROUNDS)] = Field(
        default=10, description="in each of them every service has its turn"
    )
    paced: Duration = Field(
        default="3s", validate_default=True, description="of a turn, with requests at the rate of serve.rate"
    )
    full: Duration = Field(
        default="2s", validate_default=True, description="of a turn, in which every connection asks again at once"
    )
    users: Annotated[int, Field(ge=1, le=1000)] = Field(default=8, description="connections")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="processes of each service")
    shape: Shape = Field(default="steady", description="of the paced stretch: how the rate goes")
    margin: Excess = Field(
        default="10%",
        validate_default=True,
        description="how much longer p95, and how much rarer answers, may be than the champion's",
    )

    @model_validator(mode="after")
    def _take_some_time(self) -> Self:
        if min(self.paced, self.full).total_seconds() < _SHORTEST_S:
            message = f"a stretch of less than {_SHORTEST_S:g} s tells nothing: give paced and full more"
            raise ValueError(message)
        return self


class CardSpec(Record):
    """What only the owner can say on the model card."""

    purpose: Line | None = Field(default=None, description="what the model is for, in a sentence")
    users: Line | None = Field(default=None, description="who is meant to use it, and for which decisions")
    not_for: Line | None = Field(default=None, description="what it must not be used for")
    limits: Line | None = Field(default=None, description="what is known to be wrong with it, or with its data")
    contact: Line | None = Field(default=None, description="who answers questions")
    licence: Line | None = None
