"""What a behaviour check sees, and what one is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from towpath_gitops.records.signature import Signature

Columns = Mapping[str, NDArray[Any]]
Answer = bool | None | str  # True: passed; False: the docstring of `check` applies; None: not applicable; or own words


@dataclass(frozen=True)
class Subject:
    """A model as callers meet it: `predict` is the serving engine, `columns` a sample of real rows, each (n, 1)."""

    signature: Signature
    predict: Callable[[Columns], NDArray[Any]]
    columns: Columns

    @property
    def rows(self) -> int:
        """How many rows the sample has."""
        return len(next(iter(self.columns.values())))

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Return the rows with these indices, in this order."""
        return {name: values[rows] for name, values in self.columns.items()}

    def with_column(self, name: str, value: float | str) -> Columns:
        """Return the sample with one column set to `value` in every row."""
        changed = np.full_like(self.columns[name], value)
        return {**self.columns, name: changed}


class Check(Protocol):
    """One thing that a model's answers must do. The class docstring is its title."""

    name: ClassVar[str]

    def check(self, subject: Subject) -> Answer:
        """Return whether the model does it; this docstring is what the user is told when it does not."""
        ...
