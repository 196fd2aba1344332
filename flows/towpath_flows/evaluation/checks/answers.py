"""Answers are what the task promises, and they differ."""

from typing import ClassVar

import numpy as np

from towpath_flows.evaluation.checks.base import Answer, Subject

SUM_TOLERANCE = 1e-4  # float32 probabilities of many classes


class Shape:
    """Answers are floating-point numbers: one row for each row asked, as many columns as the task has."""

    name: ClassVar[str] = "shape"

    def check(self, subject: Subject) -> Answer:
        """Answers of another shape or type reach callers as nonsense: look at the outputs of the exported graph."""
        task, classes = subject.signature.task, subject.signature.classes or ()
        wide = len(classes) if task == "multiclass" else 1
        for rows in sorted({1, subject.rows}):
            answers = subject.predict(subject.take(np.arange(rows)))
            if answers.shape != (rows, wide):
                return f"{rows} rows get answers of shape {answers.shape} instead of {(rows, wide)}"
            if answers.dtype.kind != "f":
                return f"Answers are of type {answers.dtype}"
        return True


class Range:
    """Answers are finite; probabilities lie between 0 and 1 and add up to 1."""

    name: ClassVar[str] = "range"

    def check(self, subject: Subject) -> Answer:
        """Some answers are outside the range of the task: the exported graph lost its link function."""
        answers = subject.predict(subject.columns)
        if not np.isfinite(answers).all():
            return f"{int((~np.isfinite(answers)).any(axis=1).sum()):,} of {subject.rows:,} answers are not finite"
        if subject.signature.task == "regression":
            return True
        inside = bool(((answers >= 0) & (answers <= 1)).all())
        if subject.signature.task == "multiclass":
            inside &= bool(np.allclose(answers.sum(axis=1), 1, atol=SUM_TOLERANCE))
        return inside


class Variation:
    """Different rows get different answers."""

    name: ClassVar[str] = "variation"

    def check(self, subject: Subject) -> Answer:
        """Every row gets the same answer: the model learned nothing, or the features are constant."""
        if subject.rows < 2:  # noqa: PLR2004 (one row cannot vary)
            return None
        answers = subject.predict(subject.columns)
        return bool(np.ptp(answers, axis=0).max() > 0)
