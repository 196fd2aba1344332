"""The replay: a fixed sample of later rows on which champion and challenger are held against each other, row by row."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.data.sources import digest_frame
from towpath_flows.evaluation.assessment import one_line
from towpath_flows.evaluation.comparison import Array, Duel
from towpath_gitops.records import figures
from towpath_gitops.records.figures import LARGEST, MOST_SEGMENTS, Replay, Segment
from towpath_gitops.records.signature import Signature

ROWS: Final = 10_000
TOLERANCE: Final = 0.1  # regression: of the standard deviation of the truth
MOST_VALUES: Final = 20  # of one column; rarer ones are counted together
_MOST_NUMBERS: Final = 8  # that stand by themselves; more are cut into quarters
OTHERS: Final = "(others)"
MISSING: Final = "(missing)"
_BANDS: Final = (0.25, 0.5, 0.75)  # numbers are cut into quarters of the sample
_Z: Final = 1.96  # of a 95 % interval
_LONGEST: Final = 100  # characters of a segment's value

Mask = NDArray[np.bool_]


def sample(duel: Duel, seed: int = 0) -> NDArray[np.intp]:
    """Return the indices of at most 10,000 rows that both answered, in their order; the same rows every time."""
    both = np.flatnonzero(duel.answered)
    return np.sort(np.random.default_rng(seed).permutation(both)[:ROWS])


def replay(duel: Duel, frame: pd.DataFrame, columns: Mapping[str, Array], window: figures.Window) -> Replay | None:
    """Count on the fixed sample how many decisions change, in which segments, and whether they became right.

    `frame` holds the rows (n, …) behind the duel, `columns` their segments (n,) by column. For regression a flip is an
    answer that moves by more than a tenth of the standard deviation of the truth. None where there is no common row.
    """
    chosen = sample(duel)
    if not len(chosen):
        return None
    part = duel.where(chosen)
    tolerance = _tolerance(part) if duel.task == "regression" else None
    changed = _changed(part, tolerance)
    better, worse = _outcomes(part, changed)
    return Replay(
        rows=len(chosen),
        digest=digest_frame(frame.iloc[chosen]),
        window=window,
        unanswered=int(duel.rows - duel.answered.sum()),
        tolerance=tolerance,
        flips=int(changed.sum()),
        corrected=int(better.sum()),
        spoiled=int(worse.sum()),
        segments=tuple(_segments({name: values[chosen] for name, values in columns.items()}, changed)),
    )


def _tolerance(duel: Duel) -> float:
    return min(TOLERANCE * float(np.std(duel.y.astype(np.float64))), LARGEST)


def _changed(duel: Duel, tolerance: float | None) -> Mask:
    before, after = duel.decisions
    if tolerance is None:
        return np.asarray(before != after)
    return np.asarray(np.abs(after.astype(np.float64) - before.astype(np.float64)) > tolerance)


def _outcomes(duel: Duel, changed: Mask) -> tuple[Mask, Mask]:
    """Return which of the changed rows came right (or nearer to the truth), and which went wrong (or farther)."""
    truth = duel.y.astype(np.float64)
    if duel.task == "regression":
        before, after = (np.abs(each.astype(np.float64) - truth) for each in duel.decisions)
    else:
        before, after = ((each != truth).astype(np.float64) for each in duel.decisions)
    return changed & (after < before), changed & (after > before)


def _segments(columns: Mapping[str, Array], changed: Mask) -> Iterator[Segment]:
    left = MOST_SEGMENTS
    for column, values in columns.items():
        names, codes = np.unique(values.astype(str), return_inverse=True)
        left -= len(names)
        if left < 0:
            return
        rows, flips = np.bincount(codes), np.bincount(codes, weights=changed)
        for name, number, flipped in zip(names, rows, flips, strict=True):
            yield Segment(
                column=_line(column),
                value=_line(name),
                rows=int(number),
                flips=int(flipped),
                interval=wilson(int(flipped), int(number)),
            )


def _line(words: str) -> str:
    return one_line(words)[:_LONGEST].strip() or "(empty)"


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), which also holds for few rows and for none that hit."""
    share, more = hits / rows, _Z**2 / rows
    middle = (share + more / 2) / (1 + more)
    reach = np.sqrt(share * (1 - share) * more + more**2 / 4) / (1 + more)
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


# --- what rows are told apart by ----------------------------------------------------------------------------------


def segments_of(signature: Signature, frame: pd.DataFrame, first: Mapping[str, Array]) -> dict[str, Array]:
    """Return what rows (n,) are told apart by, column by column: `first`, then the inputs that a person can read.

    Texts and truths by value (the rarer ones together), numbers by quarters. A text of which nearly every row has
    another value tells nothing apart, and is left out.
    """
    found = {name: _pooled(values.astype(str)) for name, values in first.items()}
    for column in signature.inputs:
        if column.name in found or column.name not in frame:
            continue
        values = frame[column.name]
        numeric = column.type in {"number", "integer"} and values.nunique() > _MOST_NUMBERS
        if not numeric and values.nunique() > len(values) / 2:
            continue
        found[column.name] = _banded(values) if numeric else _pooled(_texts(values))
    return found


def _texts(values: "pd.Series[object]") -> Array:
    texts: Array = values.astype(object).where(values.notna(), MISSING).astype(str).to_numpy(dtype=object)
    return texts


def _pooled(values: Array) -> Array:
    names, counts = np.unique(values, return_counts=True)
    if len(names) <= MOST_VALUES:
        return values
    kept = names[np.argsort(-counts, kind="stable")[: MOST_VALUES - 1]]
    return np.where(np.isin(values, kept), values, OTHERS)


def _banded(values: "pd.Series[float]") -> Array:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    edges = np.unique(np.nanquantile(numbers, _BANDS))
    names = [f"≤ {edges[0]:.4g}", *(f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))]
    labels = np.array([*names, f"> {edges[-1]:.4g}"], dtype=object)
    banded = labels[np.searchsorted(edges, numbers, side="left").clip(max=len(edges))]
    return np.where(np.isnan(numbers), MISSING, banded)
