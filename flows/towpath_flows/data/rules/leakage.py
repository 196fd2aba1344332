"""Does a column know the answer? One that predicts too well alone, is a copy of the target, or of a later row's."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.data.coercion import replaced
from towpath_flows.data.rules.base import Facts, Measure, gravest, weighed
from towpath_flows.data.splits import Splits
from towpath_flows.data.target import label
from towpath_gitops.records.evidence import Verdict

_BINS: Final = 50  # of a number's range, by quantiles; one more for missing
_PRIOR_ROWS: Final = 20  # a category's mean is drawn to the overall mean by as many rows: rare ones prove nothing
_FEWEST_UNSEEN: Final = 5  # unseen rows of one of several classes; by fewer any column may know them all by chance
_Z: Final = 1.959964  # half width of a 95 % interval in standard errors
_COPY: Final = 0.999  # share of equal values from which a column is a copy
_IN_STEP: Final = 0.9995  # rank correlation from which a column is the target in another unit
_FEWEST_PAIRS: Final = 10  # different values; fewer are in step by chance, or in a table of codes
_LOOK: Final = 1_000  # rows of a first look
_LIKELY: Final = 0.95  # share of equal values there, below which it is no copy
_EXCLUDE: Final = "is it known at prediction time? If not, add it to `exclude`"

Bins = NDArray[np.intp]


def judge(facts: Facts) -> list[Measure]:
    """Score unseen rows by the mean of the target among known rows alike in one column: ROC AUC, or R².

    A leak fails when the interval is over the limit, too: Hanley and McNeil's (1982) of the area, Olkin and Finn's
    (1995) of R².
    """
    asked, splits = facts.spec.quality.leakage.max, facts.splits
    limit = 1.0 if asked is None else asked
    judged = [name for name in facts.features if name not in facts.spec.quality.leakage.known]
    copies = list(_copies(facts, limit))
    if asked is None and not copies:
        return [Measure("no column is a copy of the answer", Verdict.PASS, "what columns predict alone was not asked")]
    unseen = len(splits.validation) + len(splits.test)
    for name, scored in powers(splits, judged).items() if asked is not None else ():
        copies.append(_judged(facts, name, strongest(scored, limit), unseen, limit))
    best: dict[str, Measure] = {}
    for measure in copies:  # a copy is told as one, not a second time as a predictor
        best.setdefault(measure.column, measure)
    return gravest(sorted(best.values(), key=lambda measure: -(measure.measured or 0)))


def strongest(scored: Sequence[tuple[float, float]], limit: float) -> tuple[float, float]:
    """Return the power and its error of the class that a column knows best: one beyond chance goes first."""
    return max(scored, key=lambda power: (power[0] - _Z * power[1] > limit, power[0]))


def _judged(facts: Facts, name: str, power: tuple[float, float], rows: int, limit: float) -> Measure:
    value, error = power
    interval = max(0.0, value - _Z * error), min(1.0, value + _Z * error)
    # The limit itself is a leak, as it always was: hence the next number below.
    verdict, needed = weighed(value, interval, float(np.nextafter(limit, 0)), rows)
    words = f"the strongest column, {name}, reaches {value:.3f} alone"
    if verdict is not Verdict.PASS:
        words = f"{name} alone predicts {facts.spec.target} with {value:.3f}: {_EXCLUDE}"
    return Measure(f"no column alone reaches {limit:g}", verdict, words, name, value, limit, interval, needed)


# --- copies -------------------------------------------------------------------------------------------------------


def _copies(facts: Facts, limit: float) -> Iterator[Measure]:
    """Tell of features that equal the target, or the target of the next row in time (of the same entity)."""
    spec = facts.spec
    own, later = facts.frame[spec.target], _later(facts)
    copied = f"a copy of {spec.target}: {_EXCLUDE}"
    gate = f"no column alone reaches {limit:g}"
    ahead = f"{spec.target} of the next row in time, which is still to come: {_EXCLUDE}"
    for name in facts.features:
        for other, words in ((own, copied), (later, ahead)):
            if other is not None and _same(facts.frame[name], other) >= _COPY:
                yield Measure(gate, Verdict.FAIL, f"{name} is {words}", name, 1.0, limit)
                break
        else:
            if spec.task == "regression" and _is_in_step(facts.frame[name], own):
                words = f"{name} rises or falls exactly with {spec.target}: {_EXCLUDE}"
                yield Measure(gate, Verdict.FAIL, words, name, 1.0, limit)


def _later(facts: Facts) -> Any:  # noqa: ANN401 (pandas is not typed here)
    """Return each row's next target in time; None without a time column, or where the target hardly ever changes."""
    spec = facts.spec
    if spec.time is None:
        return None
    named = [spec.target] if spec.entity is None else [spec.target, spec.entity]
    frame = facts.frame.sort_values(spec.time, kind="stable")[named]
    if pd.api.types.is_bool_dtype(frame[spec.target]):  # which has no number for what is missing
        frame = replaced(frame, {spec.target: frame[spec.target].astype("float64")})
    repeated = spec.entity is not None and frame[spec.entity].duplicated().any()
    targets = frame.groupby(spec.entity)[spec.target] if repeated else frame[spec.target]
    later = targets.shift(-1).reindex(facts.frame.index)
    return None if _same(facts.frame[spec.target], later) >= _COPY else later


def _same(first: Any, second: Any) -> float:  # noqa: ANN401 (as above)
    """Return the share of equal values where both have one; a first look at some rows rules most columns out."""
    look = np.unique(np.linspace(0, len(first) - 1, min(len(first), _LOOK)).astype(int))
    share = _equal(first.iloc[look], second.iloc[look])
    return share if len(look) == len(first) or share < _LIKELY else _equal(first, second)


def _is_in_step(first: Any, second: Any) -> bool:  # noqa: ANN401 (as above)
    """Whether two columns of numbers are in the same order, or in the opposite: one is a function of the other.

    By Spearman's rank correlation, which does not mind another unit or a logarithm.
    """
    if not pd.api.types.is_numeric_dtype(first) or pd.api.types.is_bool_dtype(first):
        return False
    known = np.flatnonzero(first.notna() & second.notna())
    look = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _LOOK)).astype(int))] if len(known) else known
    for rows in (look, known):
        pair = first.iloc[rows].astype("float64"), second.iloc[rows].astype("float64")
        if len(rows) < _FEWEST_PAIRS or min(each.nunique() for each in pair) < _FEWEST_PAIRS:
            return False
        if abs(pair[0].rank().corr(pair[1].rank())) < _IN_STEP:
            return False
    return True


def _equal(first: Any, second: Any) -> float:  # noqa: ANN401 (as above)
    known = first.notna() & second.notna()
    first, second = first[known], second[known]
    if len(first) < 2:  # noqa: PLR2004 (one value is no pattern)
        return 0.0
    if pd.api.types.is_numeric_dtype(first) and pd.api.types.is_numeric_dtype(second):
        return float(np.mean(first.to_numpy(dtype=np.float64) == second.to_numpy(dtype=np.float64)))
    if first.nunique() > _BINS or second.nunique() > _BINS:  # labels are few; names of rows are no copies of them
        return 0.0
    return float((first.map(label) == second.map(label)).mean())


# --- power --------------------------------------------------------------------------------------------------------


def powers(splits: Splits, features: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Return how well each column alone predicts the target of unseen rows, and the standard error of that.

    That is R², or an ROC AUC; of more than two classes one for each against the rest, but for very rare ones.
    """
    target = splits.target
    known, unseen = splits.train, pd.concat([splits.validation, splits.test], ignore_index=True)
    y_known, y_unseen = target.encode(known[target.column]), target.encode(unseen[target.column])
    classes = len(target.classes or ())
    return {name: _power(known[name], y_known, unseen[name], y_unseen, classes=classes) for name in features}


def _power(
    known: Any,  # noqa: ANN401 (pandas is not typed here)
    y_known: NDArray[Any],
    unseen: Any,  # noqa: ANN401 (as above)
    y_unseen: NDArray[Any],
    *,
    classes: int,
) -> list[tuple[float, float]]:
    bins_known, bins_unseen = _bins(known, unseen)
    number = 1 + int(max(bins_known.max(initial=0), bins_unseen.max(initial=0)))
    if not classes:
        r2 = _explained(_means(bins_known, y_known, number)[bins_unseen], y_unseen)
        return [(r2, float(np.sqrt(4 * r2 * (1 - r2) ** 2 / len(y_unseen))))]
    asked = range(1, classes) if classes == 2 else range(classes)  # noqa: PLR2004 (of two classes one says it all)
    told = [code for code in asked if (y_unseen == code).sum() >= _FEWEST_UNSEEN]
    scored = [
        (_area(_means(bins_known, y_known == code, number), bins_unseen, y_unseen == code), code)
        for code in told or asked
    ]
    return [
        (value, _auc_error(value, int((y_unseen == code).sum()), int((y_unseen != code).sum())))
        for value, code in scored
    ]


def _auc_error(area: float, hits: int, misses: int) -> float:
    """Return the standard error of an ROC AUC (Hanley and McNeil 1982), as of one that two rows more had as by chance.

    Without these an area of 1 would have no error, be it of a single row of its class.
    """
    if not hits or not misses:
        return 0.5
    area = 0.5 + (area - 0.5) * min(hits, misses) / (min(hits, misses) + 2)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    total = area * (1 - area) + (hits - 1) * (q1 - area**2) + (misses - 1) * (q2 - area**2)
    return float(np.sqrt(max(total, 0.0) / (hits * misses)))


def _bins(known: Any, unseen: Any) -> tuple[Bins, Bins]:  # noqa: ANN401 (as above)
    """Return the bin of each row, (n,) and (m,): of a quantile, or of a value."""
    if not pd.api.types.is_numeric_dtype(known) or pd.api.types.is_bool_dtype(known):
        codes = pd.factorize(pd.concat([_text(known), _text(unseen)], ignore_index=True))[0]
        return codes[: len(known)], codes[len(known) :]
    numbers = known.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(numbers).all():
        return np.zeros(len(known), dtype=np.intp), np.zeros(len(unseen), dtype=np.intp)
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _BINS + 1)))
    fresh = unseen.to_numpy(dtype=np.float64, na_value=np.nan)
    return _binned(numbers, edges), _binned(fresh, edges)


def _text(values: Any) -> Any:  # noqa: ANN401 (as above)
    if isinstance(values.dtype, pd.StringDtype):
        return values.fillna("")
    return values.astype(object).fillna("").astype(str)


def _binned(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> Bins:
    """Return 0 for what is missing, and from 1 on the place among the edges."""
    return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, numbers))


def _means(bins: Bins, y: NDArray[Any], number: int) -> NDArray[np.float64]:
    """Return the mean of `y` in each of a number of bins, (number,), drawn to the mean of all."""
    sums = np.bincount(bins, weights=y, minlength=number) + _PRIOR_ROWS * y.mean()
    return np.asarray(sums / (np.bincount(bins, minlength=number) + _PRIOR_ROWS))


def _area(scores: NDArray[np.float64], bins: Bins, positive: NDArray[np.bool_]) -> float:
    """Return `auc` of rows of which those in a bin (n,) share its score: it is enough to count them."""
    levels, level = np.unique(scores, return_inverse=True)
    hits = np.bincount(level[bins[positive]], minlength=len(levels))
    misses = np.bincount(level[bins[~positive]], minlength=len(levels))
    if not hits.any() or not misses.any():
        return 0.5
    won = hits * (np.cumsum(misses) - misses / 2)
    return float(won.sum() / (hits.sum() * misses.sum()))


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the ROC AUC (Mann-Whitney, ties count half); 0.5 where a class is absent."""
    hits = int(positive.sum())
    misses = len(positive) - hits
    if not hits or not misses:
        return 0.5
    ranks = pd.Series(scores).rank().to_numpy()
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def _explained(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    spread = float(((actual - actual.mean()) ** 2).sum())
    return max(0.0, 1 - float(((actual - predicted) ** 2).sum()) / spread) if spread else 0.0
