"""What callers will send sooner or later is answered with a number."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation.checks.base import Answer, Columns, Subject

UNSEEN = "never seen in training \u2603"
LARGEST_INTEGER = 2.0**24  # the largest integer that float32, the served type, holds exactly


class MissingValues:
    """A missing value is answered in every column that may miss one."""

    name: ClassVar[str] = "missing-values"

    def check(self, subject: Subject) -> Answer:
        """A row with a missing value is not answered: impute it in the features, or make the column required."""
        columns = [column for column in subject.signature.inputs if column.nullable]
        if not columns:
            return None
        return _unanswered(
            subject,
            ((c.name, subject.with_column(c.name, "" if c.type == "string" else np.nan)) for c in columns),
            "a missing",
        )


class UnseenCategories:
    """A category that training never saw is answered in every open text column."""

    name: ClassVar[str] = "unseen-categories"

    def check(self, subject: Subject) -> Answer:
        """An unseen category is not answered: let the encoder ignore the unknown, or close the list in the schema."""
        columns = [c for c in subject.signature.inputs if c.type == "string" and c.categories is None]
        if not columns:
            return None
        return _unanswered(subject, ((c.name, subject.with_column(c.name, UNSEEN)) for c in columns), "an unseen")


class Extremes:
    """The greatest and least numbers that the schema allows are answered."""

    name: ClassVar[str] = "extremes"

    def check(self, subject: Subject) -> Answer:
        """An extreme number is not answered: bound the column in the schema, or clip it in the features."""
        columns = [c for c in subject.signature.inputs if c.type in {"number", "integer"}]
        if not columns:
            return None
        ends = (
            (c.name, subject.with_column(c.name, end))
            for c in columns
            for end in (
                -LARGEST_INTEGER if c.minimum is None else c.minimum,
                LARGEST_INTEGER if c.maximum is None else c.maximum,
            )
        )
        return _unanswered(subject, ends, "an extreme")


def _unanswered(subject: Subject, variants: Iterable[tuple[str, Columns]], kind: str) -> Answer:
    """Return True, or which columns got no finite answer with `kind` value in them."""
    wrong = dict.fromkeys(name for name, columns in variants if not bool(np.isfinite(_answers(subject, columns)).all()))
    return f"No finite answer with {kind} value in: {', '.join(wrong)}" if wrong else True


def _answers(subject: Subject, columns: Columns) -> NDArray[Any]:
    try:
        return subject.predict(columns)
    except Exception:  # noqa: BLE001 (whatever an engine raises on a request is the finding)
        return np.array([np.nan])
