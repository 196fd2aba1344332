"""Three parts that share nothing: train to fit, validation to choose, test to judge."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.data.target import Target, label
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError

_FEWEST_CLASSES: Final = 2  # that rows to judge by must hold, or no measure of classes means anything
_SHOWN: Final = 10  # classes that a message names
MIN_ROWS: Final = 20  # in each part; below that neither a fit nor a measure says anything

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Splits:
    """Rows of a validated table; every one has a target. Split by time, each part is in order and before the next.

    A copy with other rows of train or validation has its own `development`.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    target: Target
    # Both as one view of the table; set by `split` alone, and not taken over by `replace`.
    _adjoining: pd.DataFrame | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def development(self) -> pd.DataFrame:
        """Train and validation together: all that tuning may see."""
        if self._adjoining is not None:
            return self._adjoining
        return pd.concat([self.train, self.validation], ignore_index=True)


def split(project: Project, frame: pd.DataFrame) -> Splits:
    """Cut by time where the model has a time column, else at random (stratified) with the model's seed.

    Rows without a target are left out. Boundaries lie between different moments, so that rows of one moment stay
    together and the shares are met only as well as that allows.

    Train has every class; validation and test may lack rare ones, of three or more.

    Raises:
        DataContractError: a part would have fewer than 20 rows or only one class, train would lack one, or the target
            cannot be learned.
    """
    spec = project.spec
    target = replace(Target.of(spec, frame), sensitive=spec.target in project.sensitive)
    known = frame[frame[spec.target].notna()] if frame[spec.target].isna().any() else frame
    known = known.reset_index(drop=True)
    shares = (1 - spec.split.validation - spec.split.test, spec.split.validation, spec.split.test)
    if spec.time is not None:
        if not known[spec.time].is_monotonic_increasing:
            known = known.sort_values(spec.time, kind="stable", ignore_index=True)
        parts = _cut(known[spec.time], shares)
    else:
        parts = _deal(known, target, shares, spec.train.seed)
    for name, rows in zip(("train", "validation", "test"), parts, strict=True):
        _check(name, known[spec.target].iloc[rows], target)
    train, validation, test = (_part(known, rows).reset_index(drop=True) for rows in parts)
    found = Splits(train, validation, test, target)
    if spec.time is not None:
        object.__setattr__(found, "_adjoining", known.iloc[: len(train) + len(validation)])
    return found


def _part(frame: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the rows, given in order; those that lie together share the memory of the frame."""
    first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (0, -1)
    return frame.iloc[first : last + 1] if last - first + 1 == len(rows) else frame.iloc[rows]


def folds(project: Project, frame: pd.DataFrame, target: Target) -> list[tuple[Rows, Rows]]:
    """Return pairs of (fit, judge) row positions for tuning on `frame`, in the order of `Splits.development`.

    By time they are windows that grow: each judges the block after the rows it fits (Hyndman and Athanasopoulos,
    Forecasting, 5.10). At random they are stratified. Folds that fit without a class or judge but one are left out.
    """
    number, time = project.spec.tune.folds, project.spec.time
    if time is not None:
        # A first block twice as long as the others, so that the first fit has something to learn from.
        blocks = _cut(frame[time], (2, *[1] * number))
        pairs = [(np.concatenate(blocks[: end + 1]), blocks[end + 1]) for end in range(number)]
    else:
        dealt = _deal(frame, target, [1] * (number + 1), project.spec.train.seed)
        pairs = [(np.concatenate([*dealt[:held], *dealt[held + 1 :]]), dealt[held]) for held in range(number)]
    classes = len(target.classes or ())
    needed = (classes, min(classes, _FEWEST_CLASSES))
    return [pair for pair in pairs if all(map(_fits, (frame[target.column].iloc[rows] for rows in pair), needed))]


def _cut(moments: "pd.Series[pd.Timestamp]", shares: "tuple[float, ...]") -> list[Rows]:
    """Cut sorted moments at the shares; a cut moves back to the first row of its moment."""
    positions = np.cumsum(shares)[:-1] / np.sum(shares) * len(moments)
    wanted = moments.iloc[np.minimum(np.round(positions).astype(int), len(moments) - 1)]
    cuts = moments.searchsorted(wanted, side="left")
    return np.split(np.arange(len(moments)), cuts)


def _deal(frame: pd.DataFrame, target: Target, shares: "tuple[float, ...] | list[int]", seed: int) -> list[Rows]:
    """Shuffle, and deal each class out by the shares, one row at least to the first; parts keep the order."""
    generator = np.random.default_rng(seed)
    codes = target.encode(frame[target.column]) if target.classes else np.zeros(len(frame), dtype=np.int64)
    parts: list[list[Rows]] = [[] for _ in shares]
    for code in np.unique(codes):
        rows = generator.permutation(np.flatnonzero(codes == code))
        cuts = np.round(np.cumsum(shares)[:-1] / np.sum(shares) * len(rows)).astype(int).clip(min=1)
        for part, piece in zip(parts, np.split(rows, cuts), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def _fits(values: "pd.Series[object]", classes: int) -> bool:
    return len(values) >= MIN_ROWS and (not classes or values.nunique() >= classes)


def _check(name: str, values: "pd.Series[object]", target: Target) -> None:
    if len(values) < MIN_ROWS:
        raise DataContractError(
            f"The {name} part has {len(values)} rows, it needs {MIN_ROWS}",
            why="Too few rows, or too many of one moment, which are kept together.",
            hint="Take a wider window, or change the shares under `split` in model.yaml.",
        )
    classes = len(target.classes or ())
    if not _fits(values, classes if name == "train" else min(classes, _FEWEST_CLASSES)):
        present = sorted({label(value) for value in values})
        absent = [known for known in target.classes or () if known not in present]
        raise DataContractError(
            f"The {name} part lacks a class of {target.column}: it has only {_some(present)}",
            why=f"{_some(absent)} must occur there, too: no model learns or is judged by what it never sees.",
            hint="Take a wider window, or change the shares under `split` in model.yaml.",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def parts(splits: Splits) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the three parts with their names, earliest first."""
    yield "train", splits.train
    yield "validation", splits.validation
    yield "test", splits.test
