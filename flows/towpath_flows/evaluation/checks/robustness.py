"""What callers will send sooner or later is answered with a number."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from towpath_flows.evaluation.checks.base import Answer, Subject, clipped, spread_of, unsound
from towpath_gitops.records.signature import Column

UNSEEN = "never seen in training \u2603"
LARGEST_INTEGER = 2.0**24  # the largest integer that float32, the served type, holds exactly
MOST_CATEGORIES = 50  # of one column that are tried

Variant = tuple[Column, Any]


class MissingValues:
    """A missing value is answered in every column that may miss one."""

    name: ClassVar[str] = "missing-values"

    def check(self, subject: Subject) -> Answer:
        """A row with a missing value is not answered: impute it in the features, or make the column required."""
        columns = [column for column in subject.signature.inputs if column.nullable]
        if not columns:
            return None
        variants = [(column, "" if column.type == "string" else np.nan) for column in subject.some(columns)]
        return _unanswered(subject, variants, "a missing")


class UnseenCategories:
    """A category that training never saw is answered in every open text column."""

    name: ClassVar[str] = "unseen-categories"

    def check(self, subject: Subject) -> Answer:
        """An unseen category is not answered: let the encoder ignore the unknown, or close the list in the schema."""
        columns = [c for c in subject.signature.inputs if c.type == "string" and c.categories is None]
        return (
            _unanswered(subject, [(column, UNSEEN) for column in subject.some(columns)], "an unseen")
            if columns
            else None
        )


class Extremes:
    """The greatest and least numbers that the schema allows are answered."""

    name: ClassVar[str] = "extremes"

    def check(self, subject: Subject) -> Answer:
        """An extreme number is not answered: bound the column in the schema, or clip it in the features."""
        if not subject.numbers:
            return None
        ends = [
            (column, end)
            for column in subject.some(subject.numbers)
            for end in (
                -LARGEST_INTEGER if column.minimum is None else column.minimum,
                LARGEST_INTEGER if column.maximum is None else column.maximum,
            )
        ]
        return _unanswered(subject, ends, "an extreme")


class Boundaries:
    """What lies on or next to a limit of the schema is answered: ends, zero, every listed category."""

    name: ClassVar[str] = "boundaries"

    def check(self, subject: Subject) -> Answer:
        """A value on the boundary is not answered: look for logarithms, ratios and lists that leave it out."""
        variants = [
            (column, value) for column in subject.signature.inputs for value in dict.fromkeys(_on_the_boundary(column))
        ]
        return _unanswered(subject, variants, "a boundary") if variants else None


class Outliers:
    """A value far outside what was seen is answered soberly."""

    name: ClassVar[str] = "outliers"

    def check(self, subject: Subject) -> Answer:
        """One outlier takes answers out of all proportion: clip the column in the features, or bound it."""
        if not subject.numbers:
            return None
        variants = [variant for column in subject.some(subject.numbers) for variant in _outliers(subject, column)]
        return _unanswered(subject, variants, "an outlying") if subject.truth is None else _sober(subject, variants)


def _on_the_boundary(column: Column) -> Iterator[Any]:
    if column.type == "boolean":
        yield from (0.0, 1.0)
    elif column.type == "string":
        yield from (column.categories or ())[:MOST_CATEGORIES]
    else:
        ends = [end for end in (column.minimum, column.maximum) if end is not None]
        inside = [np.nextafter(np.float32(end), np.float32(0)) for end in ends] if column.type == "number" else []
        low, high = (column.minimum, column.maximum)
        zero = [0.0] if (low is None or low <= 0) and (high is None or high >= 0) else []
        yield from (float(value) for value in (*ends, *inside, *zero))


def _outliers(subject: Subject, column: Column) -> Iterator[Variant]:
    values = subject.columns[column.name].astype(np.float64)
    known = values[np.isfinite(values)]
    if not len(known):
        return
    reach = subject.expected.outliers.reach * spread_of(known)
    low, high = np.quantile(known, [0.25, 0.75])
    for value in clipped(column, np.array([low - reach, high + reach])):
        yield column, float(value)


def _sober(subject: Subject, variants: Sequence[Variant]) -> Answer:
    """Return True, or in which columns an outlier gets no number, or one far outside what the target ever was."""
    thin = subject.thinned(len(variants))
    wrong = dict.fromkeys(
        column.name for column, value in variants if unsound(thin, thin.with_column(column.name, value))
    )
    if wrong:
        return f"No sound answer with an outlying value in: {', '.join(wrong)}"
    if subject.signature.task != "regression" or subject.truth is None:
        return True
    truth = np.concatenate([subject.truth, subject.learned.truth if subject.learned else []]).astype(np.float64)
    room = subject.expected.outliers.stretch * float(np.ptp(truth))
    low, high = truth.min() - room, truth.max() + room
    for column, value in variants:
        answers = thin.predict(thin.with_column(column.name, value))
        if answers.min() < low or answers.max() > high:
            farthest = answers.min() if low - answers.min() > answers.max() - high else answers.max()
            return (
                f"With {column.name} at {value:.6g} an answer is {farthest:.6g}; "
                f"the target was never outside {truth.min():.6g} to {truth.max():.6g}"
            )
    return True


def _unanswered(subject: Subject, variants: Sequence[Variant], kind: str) -> Answer:
    """Return True, or which columns got no sound answer with `kind` value in them."""
    thin = subject.thinned(len(variants))
    wrong = dict.fromkeys(
        column.name for column, value in variants if unsound(thin, thin.with_column(column.name, value))
    )
    return f"No sound answer with {kind} value in: {', '.join(wrong)}" if wrong else True
