"""What a behaviour check sees, what one is, and what it says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from towpath_bento.deciding import rule_of
from towpath_bento.limits import bounds
from towpath_flows.evaluation.bootstrap import Estimate, rows_to_settle
from towpath_flows.evaluation.metrics import decide
from towpath_flows.evaluation.replay import TOLERANCE, wilson
from towpath_flows.evidence_spec import BehaviourSpec
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.signature import Column, Signature

Columns = Mapping[str, NDArray[Any]]
Predict = Callable[[Columns], NDArray[Any]]

_MOST_CELLS: Final = 100_000  # rows times variants that one check asks about: wide tables are asked with fewer rows
_FEWEST_ROWS: Final = 5
_MOST_COLUMNS: Final = 200  # that one check asks about one by one: a table of thousands would take minutes
_TINY: Final = 1e-30


@dataclass(frozen=True)
class Measured:
    """What a check measured, against its limit. `words` is a sentence without a full stop."""

    verdict: Verdict
    words: str
    measured: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None
    needed_rows: int | None = None

    def finding(self, gate: str, message: str) -> Finding:
        """Return it as a finding."""
        return Finding(
            gate=gate,
            verdict=self.verdict,
            message=message,
            measured=self.measured,
            limit=self.limit,
            interval=self.interval,
            needed_rows=self.needed_rows,
        )


# True: passed; False: the docstring of `check` applies; None: not applicable; or words of its own; or a measurement.
Answer = bool | None | str | Measured


@dataclass(frozen=True)
class Labelled:
    """Rows, each column (n, 1), and their truth (n,): class codes or values."""

    columns: Columns
    truth: NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A model as callers meet it: `predict` is the serving engine, `columns` a sample of real rows, each (n, 1).

    `truth` (n,) belongs to the sample, `learned` to rows that the model was fitted on. `reopen` opens the artifact's
    files anew and returns the signature and the engine's `predict`. What is None is not known, and not checked.
    """

    signature: Signature
    predict: Predict
    columns: Columns
    expected: BehaviourSpec = field(default_factory=BehaviourSpec)
    truth: NDArray[Any] | None = None
    learned: Labelled | None = None
    reopen: Callable[[], tuple[Signature, Predict]] | None = None
    latency: timedelta = timedelta(milliseconds=50)

    @property
    def rows(self) -> int:
        """How many rows the sample has."""
        return len(next(iter(self.columns.values())))

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The inputs that hold numbers, whole or not."""
        return tuple(column for column in self.signature.inputs if column.type in {"number", "integer"})

    def some(self, columns: Sequence[Column]) -> Sequence[Column]:
        """Return the columns, or two hundred from all over them where they are more."""
        return columns[:: max(1, -(-len(columns) // _MOST_COLUMNS))]

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Return the rows with these indices, in this order."""
        return {name: values[rows] for name, values in self.columns.items()}

    def thinned(self, variants: int) -> Self:
        """Return the subject with so few rows, from all over the sample, that `variants` of them can be asked about."""
        most = max(_FEWEST_ROWS, _MOST_CELLS // max(variants, 1))
        if self.rows <= most:
            return self
        chosen = np.linspace(0, self.rows - 1, most).astype(int)
        truth = None if self.truth is None else self.truth[chosen]
        return replace(self, columns=self.take(chosen), truth=truth)

    def with_column(self, name: str, value: Any) -> Columns:  # noqa: ANN401 (a number, text, or an array (n, 1) of them)
        """Return the sample with one column set to `value`, in every row or row by row."""
        changed = np.full_like(self.columns[name], value)
        return {**self.columns, name: changed}

    def decided(self, answers: NDArray[Any]) -> NDArray[np.float64]:
        """Return the decisions (n,) that answers (n, k) lead to in service."""
        return decide(self.signature.task, np.asarray(answers, dtype=np.float64), rule_of(self.signature))

    def error(self, answers: NDArray[Any]) -> float:
        """Return by how much a regression's answers (n, 1) typically miss the truth: the median absolute error.

        0 for classes, and where the truth is not known.
        """
        if self.signature.task != "regression" or self.truth is None:
            return 0.0
        return float(np.median(np.abs(answers[:, 0] - self.truth.astype(np.float64))))

    def flipped(self, before: NDArray[Any], after: NDArray[Any], *, error: float = 0.0) -> NDArray[np.bool_]:
        """Return which rows (n,) are decided otherwise.

        Regression: which values move by more than a tenth of the standard deviation of the truth, as in the replay, and
        by more than `error`: who misses by ten knows nothing of a move by five.
        """
        old, new = self.decided(before), self.decided(after)
        if self.signature.task != "regression":
            return np.asarray(old != new)
        spread = float(np.std(old if self.truth is None else self.truth.astype(np.float64)))
        return np.asarray(~(np.abs(new - old) <= max(TOLERANCE * spread, error, _TINY)))


class Check(Protocol):
    """One thing that a model's answers must do. The class docstring is its title."""

    name: ClassVar[str]

    def check(self, subject: Subject) -> Answer:
        """Return whether the model does it; this docstring is what the user is told when it does not."""
        ...


def share_within(hits: int, rows: int, limit: float, words: str) -> Measured:
    """Judge a share of rows by its 95 % interval (Wilson 1927): none at all passes, a limit inside does not tell."""
    low, high = wilson(hits, rows)
    share = hits / rows
    figures = {"measured": share, "limit": limit, "interval": (low, high)}
    told = f"{words}: {share:.1%} of {rows:,} rows (95% interval {low:.1%} to {high:.1%}), {limit:.0%} allowed"
    if hits == 0 or high <= limit:
        return Measured(Verdict.PASS, told, **figures)  # type: ignore[arg-type]  # figures of three types
    if low > limit or limit == 0:
        return Measured(Verdict.FAIL, told, **figures)  # type: ignore[arg-type]  # as above
    needed = rows_to_settle(Estimate(share, low, high), limit, rows)
    more = f"; about {needed:,} would settle it (behaviour.rows)" if needed else ""
    return Measured(Verdict.INCONCLUSIVE, told + more, needed_rows=needed, **figures)  # type: ignore[arg-type]  # as above


def spread_of(values: NDArray[Any]) -> float:
    """Return the interquartile range of the known numbers, or a quarter of their range where that is nothing."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0
    low, high = np.quantile(known, [0.25, 0.75])
    return float(high - low) or float(np.ptp(known)) / 4


def clipped(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers moved to what the service takes of a column: within its limits, whole where it is whole."""
    low, high = bounds(column)
    kept = np.clip(values, low, high)
    return np.asarray(np.round(kept) if column.type == "integer" else kept)


def unsound(subject: Subject, columns: Columns) -> bool:
    """Say whether any answer to these rows is missing, not finite, or outside the range of the task."""
    try:
        answers = np.asarray(subject.predict(columns), dtype=np.float64)
    except Exception:  # noqa: BLE001 (whatever an engine raises on a request is the finding)
        return True
    if not bool(np.isfinite(answers).all()):
        return True
    return subject.signature.task != "regression" and not bool(((answers >= 0) & (answers <= 1)).all())
