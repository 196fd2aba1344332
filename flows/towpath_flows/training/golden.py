"""Fixed requests and the answers that the exported model gave to them: every environment must repeat them."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_bento.problems import faults
from towpath_bento.sent import as_sent
from towpath_flows.training.features import Features, engine_columns
from towpath_flows.training.parity import UNSEEN
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.golden import Case, Golden, Value
from towpath_gitops.records.signature import Signature

SIZES: Final = (1, 2, 3, 8)  # rows of the requests that are taken from the test part as they stand

Row = dict[str, Value]


def make_golden(signature: Signature, x: pd.DataFrame, predict: Callable[[Any], Any]) -> Golden:
    """Return requests of 1 to 8 rows from all over `x` (rows prepared by `Features.x`), and their answers.

    The last two have what is rare and must still be answered alike: everything missing that may be, and strings that
    training never saw. Rows that the service refuses, for a whole number beyond 2^24 or a long text, are no requests.

    Raises:
        TrainingError: it refuses every row.
    """
    rows = _rows(signature, x)
    cases = [*_cases(rows), *_rare(signature, rows[0])]
    features = Features(signature)
    return Golden(cases=tuple(Case(rows=tuple(case), expected=_answer(features, case, predict)) for case in cases))


def _rows(signature: Signature, x: pd.DataFrame) -> list[Row]:
    """Return rows from all over `x`; in the place of one that the service refuses, the next that it takes."""
    taken, number = [], sum(SIZES)
    for start in np.linspace(0, len(x) - 1, number).astype(int):
        tried = (row_of(signature, x, (start + step) % len(x)) for step in range(len(x)))
        row = next((row for row in tried if _fault(signature, row) is None), None)
        if row is None:
            raise TrainingError(
                "The service would refuse every row of the test part",
                why=f"{_fault(signature, row_of(signature, x, start))}.",
                hint="Change the column in the data or the schema, or name it under `exclude` in model.yaml.",
            )
        taken.append(row)
    return taken


def _fault(signature: Signature, row: Row) -> str | None:
    fault = next(faults({"rows": [row]}, signature), None)
    return f"{fault['field']}: {fault['message']}" if fault else None


def _cases(rows: list[Row]) -> Iterator[list[Row]]:
    start = 0
    for size in SIZES:
        yield rows[start : start + size]
        start += size


def _rare(signature: Signature, row: Row) -> Iterator[list[Row]]:
    nullable = {column.name: None for column in signature.inputs if column.nullable}
    if nullable:
        yield [row | nullable]
    opened = [column.name for column in signature.inputs if column.type == "string" and column.categories is None]
    if opened:
        yield [row | dict.fromkeys(opened, UNSEEN)]


def row_of(signature: Signature, x: pd.DataFrame, position: int) -> Row:
    """Return a row prepared by `Features.x` as a caller would write it in JSON."""
    served = dict(zip(x.columns, x.iloc[position].to_numpy(), strict=True))  # cell by cell a wide table takes minutes
    return {column.name: as_sent(column, served[column.name]) for column in signature.inputs}


def _answer(features: Features, rows: list[Row], predict: Callable[[Any], Any]) -> tuple[tuple[float, ...], ...]:
    answers = predict(engine_columns(features.x(pd.DataFrame(rows, dtype=object))))
    return tuple(tuple(float(value) for value in answer) for answer in answers)
