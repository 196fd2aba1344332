"""The same row gets the same answer, whenever and in whatever company it is asked."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
        return _alike(straight[backwards], reversed_)


class SingleRows:
    """A row asked alone gets the answer it gets among others."""

    name: ClassVar[str] = "single-rows"
    ROWS: ClassVar[int] = 25

    def check(self, subject: Subject) -> Answer:
        """A row asked alone is answered differently: a feature depends on the other rows of the request."""
        together = subject.predict(subject.columns)
        chosen = np.arange(min(self.ROWS, subject.rows))
        alone = np.concatenate([subject.predict(subject.take(chosen[[index]])) for index in chosen])
        return _alike(together[chosen], alone)


class ColumnOrder:
    """The order of columns does not matter, nor does a column that the signature does not name."""

    name: ClassVar[str] = "column-order"
    STRANGER: ClassVar[str] = "towpath:stranger"  # a name that no column of an owner's table has

    def check(self, subject: Subject) -> Answer:
        """Columns are told apart by their place: a request in another order is answered as another row."""
        stranger = np.ones((subject.rows, 1), dtype=np.float32)
        turned = {self.STRANGER: stranger, **dict(reversed(list(subject.columns.items())))}
        return _alike(subject.predict(subject.columns), subject.predict(turned))


class IgnoredColumns:
    """The columns under behaviour.ignored do not matter."""

    name: ClassVar[str] = "ignored-columns"

    def check(self, subject: Subject) -> Answer:
        """A column that must not matter is listened to: name it under `exclude` in model.yaml, and train again."""
        names = [name for name in subject.expected.ignored if name in subject.columns]
        if not names:
            return None
        shuffled = np.random.default_rng(0).permutation(subject.rows)
        before = subject.predict(subject.columns)
        heard = [name for name in names if not _alike(before, subject.predict(_exchanged(subject, name, shuffled)))]
        return f"Exchanged among rows, these change answers: {', '.join(heard)}" if heard else True


def _exchanged(subject: Subject, name: str, order: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    return {**subject.columns, name: subject.columns[name][order]}


def _alike(left: NDArray[Any], right: NDArray[Any]) -> bool:
    return bool(np.allclose(left, right, rtol=0, atol=TOLERANCE, equal_nan=True))
