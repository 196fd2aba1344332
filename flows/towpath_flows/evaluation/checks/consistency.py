"""The same row gets the same answer, whenever and in whatever company it is asked."""

from typing import ClassVar

import numpy as np

from towpath_flows.evaluation.checks.base import Answer, Subject
from towpath_gitops.records.golden import TOLERANCE


class Determinism:
    """The same request gets the same bytes twice."""

    name: ClassVar[str] = "determinism"

    def check(self, subject: Subject) -> Answer:
        """Two runs over the same rows differ: look for randomness in the features or the engine."""
        first, second = subject.predict(subject.columns), subject.predict(subject.columns)
        return first.tobytes() == second.tobytes()


class RowOrder:
    """The order of rows in a request does not matter."""

    name: ClassVar[str] = "row-order"

    def check(self, subject: Subject) -> Answer:
        """Reversing the rows changes their answers: a feature looks at neighbouring rows."""
        backwards = np.arange(subject.rows)[::-1]
        straight, reversed_ = subject.predict(subject.columns), subject.predict(subject.take(backwards))
        return bool(np.allclose(straight[backwards], reversed_, rtol=0, atol=TOLERANCE, equal_nan=True))


class SingleRows:
    """A row asked alone gets the answer it gets among others."""

    name: ClassVar[str] = "single-rows"
    ROWS: ClassVar[int] = 25

    def check(self, subject: Subject) -> Answer:
        """A row asked alone is answered differently: a feature depends on the other rows of the request."""
        together = subject.predict(subject.columns)
        chosen = np.arange(min(self.ROWS, subject.rows))
        alone = np.concatenate([subject.predict(subject.take(chosen[[index]])) for index in chosen])
        return bool(np.allclose(together[chosen], alone, rtol=0, atol=TOLERANCE, equal_nan=True))
