"""Answers move as they should when a row changes: in the right direction, and not at a touch."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.limits import bounds
from towpath_flows.evaluation.checks.base import Answer, Columns, Measured, Subject, clipped, share_within, spread_of
from towpath_flows.training_spec import Direction
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.golden import TOLERANCE
from towpath_gitops.records.signature import Column

_GRID: Final = 11  # values of a column, from its least to its greatest, between which an answer is watched
_MOST_COLUMNS: Final = 60  # that are perturbed; of wider tables those from all over
_FLIPS, _FLIPS_OF_VALUES = 0.25, 0.5  # shares that may flip unless model.yaml says otherwise
_REPEATED: Final = 10  # rows to each value, from which a column has few values
_WHOLE_STEP: Final = 0.05  # a step of one is small for whole numbers that spread over twenty

Answers = NDArray[np.float64]


class Monotone:
    """Answers move in the direction that train.monotone and behaviour.monotone say."""

    name: ClassVar[str] = "monotone"

    def check(self, subject: Subject) -> Answer:
        """A column moves answers the wrong way: constrain it in training, or correct what model.yaml expects."""
        asked = subject.expected.monotone
        known = [column for column in subject.numbers if column.name in asked.columns]
        if not known or subject.signature.task == "multiclass":
            return None
        thin = subject.thinned(len(known) * _GRID)
        moves = {column.name: _wrong_way(thin, column, asked.columns[column.name]) for column in known}
        wrong = {name: each > asked.tolerance for name, each in moves.items()}
        worst = max(moves, key=lambda name: (int(wrong[name].sum()), float(moves[name].max())))
        hits, farthest = int(wrong[worst].sum()), float(moves[worst].max())
        told = f"{worst} goes the wrong way, by {farthest:.2g} at most"
        return share_within(
            hits, thin.rows, asked.violations, told if hits else f"No answer follows {', '.join(moves)} the wrong way"
        )


class Perturbations:
    """Small changes of a row's numbers, each in the worst direction, flip few decisions."""

    name: ClassVar[str] = "perturbations"

    def check(self, subject: Subject) -> Answer:
        """Too many decisions hang by a thread: smooth the model, or widen behaviour.perturbations with a reason."""
        asked = subject.expected.perturbations
        steps = dict(_steps(subject, asked.step))
        if not steps:
            return None
        thin = subject.thinned(2 * len(steps))
        flips = _attacked(thin, steps)
        told = f"Moving {_named(list(steps))} by {asked.step:.1%} of the spread (whole numbers by 1) flips decisions"
        usual = _FLIPS_OF_VALUES if subject.signature.task == "regression" else _FLIPS
        return share_within(int(flips.sum()), thin.rows, usual if asked.flips is None else asked.flips, told)


class CorruptedUnits:
    """A column in another unit is refused by its limits, or answered soberly."""

    name: ClassVar[str] = "corrupted-units"

    def check(self, subject: Subject) -> Answer:
        """A column in another unit passes and flips decisions: give it limits in the schema."""
        asked = subject.expected.units
        columns = [
            c for c in subject.numbers if (c.type == "number" if asked.columns is None else c.name in asked.columns)
        ]
        columns = list(subject.some(columns))
        if not columns:
            return None
        thin = subject.thinned(len(columns) * len(asked.factors))
        before = thin.predict(thin.columns)
        found = [_misread(thin, before, column, factor) for column in columns for factor in asked.factors]
        insane = [each for each in found if each is None]
        if insane:
            return "Some such rows get no number"
        hits, passed, words = max((each for each in found if each is not None), key=lambda each: each[0])
        told = f"{words}: {hits:,} of {thin.rows:,} decisions flip, {thin.rows - passed:,} rows are refused"
        if asked.flips is None:
            return Measured(
                Verdict.PASS, f"{told}; not judged, since behaviour.units.flips is not set", hits / thin.rows
            )
        return share_within(hits, thin.rows, asked.flips, told)


def _wrong_way(subject: Subject, column: Column, direction: Direction) -> NDArray[np.float64]:
    """Return by how much (n,) the answer moves the wrong way in the worst step along the column's grid; 0 for never."""
    values = subject.columns[column.name]
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(subject.rows)
    grid = np.unique(clipped(column, np.linspace(known.min(), known.max(), _GRID)))
    answers = [np.asarray(subject.predict(subject.with_column(column.name, value))[:, 0], np.float64) for value in grid]
    if len(answers) < 2:  # noqa: PLR2004 (one value leads nowhere)
        return np.zeros(subject.rows)
    moves = np.diff(np.array(answers), axis=0) * (-1 if direction == "increasing" else 1)
    worst = np.asarray(moves.max(axis=0), dtype=np.float64)
    noise = TOLERANCE * (1.0 if subject.signature.classes else max(1.0, float(np.abs(answers).max())))
    return np.where(worst > noise, worst, 0.0)


def _steps(subject: Subject, share: float) -> Iterator[tuple[str, float]]:
    """Yield by how much each column of numbers is moved: a share of its spread, whole numbers by one at least.

    Columns of few values that repeat, such as marks from 1 to 5, are left out: between them lies nothing that could
    come, and one of them is another answer; so are whole numbers of which a step of one is not small.
    """
    numbers = subject.numbers
    every = max(1, -(-len(numbers) // _MOST_COLUMNS))
    for column in numbers[::every]:
        values = subject.columns[column.name]
        spread = spread_of(values)
        step = max(share * spread, 1.0 if column.type == "integer" else 0.0)
        if column.type == "integer" and spread * _WHOLE_STEP < 1:
            continue
        if spread > 0 and not _is_coarse(values, step):
            yield column.name, step


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} columns"


def _is_coarse(values: NDArray[Any], step: float) -> bool:
    """Whether values (n, 1) are few that repeat, all of them farther apart than a step."""
    known = values[np.isfinite(values)]
    different = np.unique(known)
    return len(different) * _REPEATED <= len(known) and bool((np.diff(different) > step).all())


def _attacked(subject: Subject, steps: dict[str, float]) -> NDArray[np.bool_]:
    """Return which decisions (n,) flip when every column takes the step that hurts most, or any single one does.

    A regression's value flips by moving farther than the model errs. Each column's worst direction is found on its
    own: a coordinate-wise attack, which needs no gradient. Trees have none.
    """
    before = np.asarray(subject.predict(subject.columns), dtype=np.float64)
    flips, error = np.zeros(subject.rows, dtype=bool), subject.error(before)
    for sign in (1.0, -1.0) if subject.signature.task == "regression" else (1.0,):
        worst = dict(subject.columns)
        base = _standing(subject, before, before, sign)
        for name, step in steps.items():
            moved, hurt = subject.columns[name], base
            for value in _moved(subject, name, step):
                after = np.asarray(subject.predict({**subject.columns, name: value}), dtype=np.float64)
                flips |= subject.flipped(before, after, error=error)
                standing = _standing(subject, before, after, sign)
                worse = standing < hurt
                moved, hurt = np.where(worse[:, None], value, moved), np.where(worse, standing, hurt)
            worst[name] = moved
        flips |= subject.flipped(before, subject.predict(worst), error=error)
    return flips


def _moved(subject: Subject, name: str, step: float) -> Iterator[NDArray[Any]]:
    column = next(column for column in subject.numbers if column.name == name)
    values = subject.columns[name]
    for sign in (1, -1):
        yield clipped(column, values + sign * step).astype(values.dtype)


def _standing(subject: Subject, before: Answers, after: Answers, sign: float) -> Answers:
    """Return how firmly (n,) the decision of `before` stands after a change; less is worse."""
    if subject.signature.task == "regression":
        return sign * after[:, 0]
    if subject.signature.task == "binary":
        return np.where(subject.decided(before) == 1, after[:, 0], -after[:, 0])
    rows = np.arange(len(before))
    return np.asarray(after[rows, before.argmax(axis=1)])


def _misread(subject: Subject, before: Answers, column: Column, factor: float) -> tuple[int, int, str] | None:
    """Return how many decisions flip, how many rows the service takes, and words; None where one gets no number."""
    values = subject.columns[column.name] * np.float32(factor)
    low, high = bounds(column)
    passed = ~((values[:, 0] < low) | (values[:, 0] > high))
    words = f"{column.name} times {factor:g}"
    rows = np.flatnonzero(passed)
    if not len(rows):
        return 0, 0, words
    changed: Columns = {**subject.columns, column.name: values}
    after = subject.predict({name: each[rows] for name, each in changed.items()})
    if not np.isfinite(after).all():
        return None
    return int(subject.flipped(before[rows], after).sum()), len(rows), words
