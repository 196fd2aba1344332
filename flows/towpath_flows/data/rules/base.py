"""What a quality rule is: facts about the rows in, measures with verdicts out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from towpath_flows.data.past import Past
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.spec import ModelSpec
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.figures import QualityFigures

MOST_TOLD: Final = 20  # measures that one rule reports; the gravest first
CONFIDENCE: Final = 0.95
NO_PAST: Final = "there is no earlier release to compare with"
_LONGEST: Final = 500
_FARTHEST: Final = 1000.0


@dataclass(frozen=True)
class Facts:
    """What rules may look at. `frame` holds every validated row; `until` is the end of the window that was read."""

    project: Project
    frame: pd.DataFrame
    splits: Splits
    features: Sequence[str]
    past: Past | None
    until: datetime | None
    now: datetime

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.project.spec

    @cached_property
    def beside_past(self) -> dict[str, tuple[Any, Any]]:
        """Return the features that the last release had in the same type: its sample (n,), and today's rows (m,).

        Both as they are served: float64 with NaN for missing, or text with "" for missing.
        """
        if self.past is None:
            return {}
        found = {}
        for name in self.features:
            if name in self.past.reference:
                before, today = served(self.past.reference[name]), served(self.frame[name])
                if before.dtype == today.dtype:
                    found[name] = before, today
        return found


@dataclass(frozen=True)
class Measure:
    """One rule's finding; `column` is "" for what is said of whole rows."""

    gate: str
    verdict: Verdict
    message: str
    column: str = ""
    measured: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None
    needed_rows: int | None = None

    @property
    def finding(self) -> Finding:
        """The measure as a finding of evidence."""
        return Finding(
            gate=_line(self.gate),
            verdict=self.verdict,
            message=_line(self.message),
            measured=self.measured,
            limit=self.limit,
            interval=self.interval,
            needed_rows=self.needed_rows,
        )

    def figures(self, rule: str) -> QualityFigures:
        """The measure as figures behind the finding."""
        return QualityFigures(
            rule=rule,
            column=_line(self.column) if self.column else None,
            verdict=self.verdict,
            measured=self.measured,
            limit=self.limit,
            interval=self.interval,
            needed_rows=self.needed_rows,
        )


class Rule(Protocol):
    """What a module of this folder offers: one question about the rows."""

    def judge(self, facts: Facts) -> list[Measure]:
        """Return one measure when all is well, else one for every column that is not."""
        ...


def served(values: Any) -> Any:  # noqa: ANN401 (pandas is not typed here)
    """Return a column (n,) as the service takes it: float64 with NaN, or objects with "" for missing."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return values.astype(object).where(values.notna(), "").to_numpy(dtype=object)


def gravest(measures: Iterable[Measure]) -> list[Measure]:
    """Return what is not a pass, gravest first and at most 20; or, when all pass, the first of them."""
    found = list(measures)
    wrong = [each for each in found if each.verdict is not Verdict.PASS]
    wrong.sort(key=lambda each: (each.verdict is not Verdict.FAIL, each.column))
    return wrong[:MOST_TOLD] or found[:1]


def judged(breach: Measure, *, rows: int, tests: int = 1) -> Measure:
    """Return a measure of a harmful share of `rows` rows with its verdict: over the limit fails, unless it is chance.

    The interval is Wilson's (1927) at 95 % for all `tests` columns together (Bonferroni).
    """
    from scipy.stats import binomtest  # noqa: PLC0415 (heavy)

    share, level = breach.measured or 0.0, 1 - (1 - CONFIDENCE) / max(tests, 1)
    ends = binomtest(round(share * rows), rows).proportion_ci(level, method="wilson")
    interval = float(ends.low), float(ends.high)
    verdict, needed = weighed(share, interval, breach.limit or 0.0, rows)
    return replace(breach, verdict=verdict, interval=interval, needed_rows=needed)


def weighed(value: float, interval: tuple[float, float], limit: float, rows: int) -> tuple[Verdict, int | None]:
    """Return the verdict on a harmful value: a breach that lies within chance is inconclusive; and the rows it needs.

    The interval shrinks with the root of the rows: so many would bring its end to the limit if the value stays. A
    value on the very limit would need endlessly many; a million times the rows is said then.
    """
    if value <= limit:
        return Verdict.PASS, None
    if interval[0] > limit:
        return Verdict.FAIL, None
    reach = value - interval[0]
    return Verdict.INCONCLUSIVE, int(np.ceil(rows * (reach / max(value - limit, reach / _FARTHEST)) ** 2))


def _line(words: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in words)[:_LONGEST]
