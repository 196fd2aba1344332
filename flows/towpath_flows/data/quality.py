"""Is the data honest? Columns that know the answer, rows that are in two parts, columns that say nothing."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.limits import MAX_TEXT
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.evidence import Finding, Verdict

_BINS: Final = 50  # of a number's range, by quantiles; one more for missing
_PRIOR_ROWS: Final = 20  # a category's mean is drawn to the overall mean by as many rows: rare ones prove nothing
_TOLD: Final = 3  # columns that a message names
_FLOAT32_WHOLE: Final = 2**24  # the largest whole number below which float32, the served type, holds every other
_ROUNDED: Final = (
    "hold whole numbers over 2^24, which float32 rounds and the service refuses; as `float` in the schema it takes them"
)


def inspect(project: Project, splits: Splits) -> list[Finding]:
    """Return the findings of `data` evidence about the features and the parts.

    A leak fails: one column alone predicts the target of unseen rows with an ROC AUC of `quality.leakage` or more
    (regression: explains that share of its variance). So do copies of training rows in the test part beyond
    `quality.duplicates`. Empty and constant columns, whole numbers that float32 rounds, and texts that the service
    does not take are told and pass.
    """
    features = feature_names(project)
    return [
        *_leaks(project, splits, features),
        _duplicates(project, splits),
        _told("empty columns", [name for name in features if splits.train[name].isna().all()], "carry no information"),
        _told("constant columns", [name for name in features if _constant(splits.train[name])], "carry no information"),
        _told("exact numbers", _rounded(splits.train[features]), _ROUNDED),
        _told(
            "short texts", _long(splits.train[features]), f"hold over {MAX_TEXT} characters; the service refuses them"
        ),
    ]


def feature_names(project: Project) -> list[str]:
    """Return the columns of the schema that the model may see, in the schema's order.

    Raises:
        DataContractError: there is none.
    """
    spec = project.spec
    kept_back = {spec.target, spec.time, spec.entity, *spec.exclude}
    names = [name for name in project.schema.columns if name not in kept_back]
    if not names:
        raise DataContractError(
            "No column is left to learn from",
            why="Every column of the schema is the target, the time, the entity or excluded.",
            hint="Add columns to the schema, or remove some from `exclude` in model.yaml.",
        )
    return names


def _leaks(project: Project, splits: Splits, features: list[str]) -> list[Finding]:
    limit, target = project.spec.quality.leakage, splits.target
    known, unseen = splits.train, pd.concat([splits.validation, splits.test], ignore_index=True)
    y_known, y_unseen = target.encode(known[target.column]), target.encode(unseen[target.column])
    power = {
        name: _power(known[name], y_known, unseen[name], y_unseen, classes=len(target.classes or ()))
        for name in features
    }
    gate = f"no column alone reaches {limit:g}"
    guilty = {name: value for name, value in power.items() if value >= limit}
    if not guilty:
        best = max(power, key=lambda name: power[name])
        message = f"the strongest column, {best}, reaches {power[best]:.3f} alone"
        return [Finding(gate=gate, verdict=Verdict.PASS, message=message, measured=power[best], limit=limit)]
    return [
        Finding(
            gate=gate,
            verdict=Verdict.FAIL,
            message=f"{name} alone predicts {target.column} with {value:.3f}: is it known at prediction time? "
            f"If not, add it to `exclude`",
            measured=value,
            limit=limit,
        )
        for name, value in guilty.items()
    ]


def _power(known: Any, y_known: NDArray[Any], unseen: Any, y_unseen: NDArray[Any], *, classes: int) -> float:  # noqa: ANN401 (pandas is not typed here)
    """Return how well one column alone predicts: ROC AUC (the best of the classes against the rest), or R²."""
    bins_known, bins_unseen = _bins(known, unseen)
    if not classes:
        return _explained(_means(bins_known, y_known, bins_unseen), y_unseen)
    asked = range(1, classes) if classes == 2 else range(classes)  # noqa: PLR2004 (of two classes one says it all)
    return max(auc(_means(bins_known, y_known == code, bins_unseen), y_unseen == code) for code in asked)


def _bins(known: Any, unseen: Any) -> tuple[Any, Any]:  # noqa: ANN401 (as above)
    if not pd.api.types.is_numeric_dtype(known) or pd.api.types.is_bool_dtype(known):
        return known.astype(object).fillna("").astype(str), unseen.astype(object).fillna("").astype(str)
    numbers = known.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(numbers).all():
        return pd.Series(0, index=known.index), pd.Series(0, index=unseen.index)
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _BINS + 1)))
    fresh = unseen.to_numpy(dtype=np.float64, na_value=np.nan)
    return _binned(numbers, edges), _binned(fresh, edges)


def _binned(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> "pd.Series[int]":
    return pd.Series(np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers)))


def _means(bins: Any, y: NDArray[Any], wanted: Any) -> NDArray[np.float64]:  # noqa: ANN401 (as above)
    groups = pd.Series(y, dtype=np.float64).groupby(bins.to_numpy())
    means = (groups.sum() + _PRIOR_ROWS * y.mean()) / (groups.size() + _PRIOR_ROWS)
    return wanted.map(means).fillna(y.mean()).to_numpy(dtype=np.float64)  # type: ignore[no-any-return]  # pandas


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


def _duplicates(project: Project, splits: Splits) -> Finding:
    limit = project.spec.quality.duplicates
    known = set(pd.util.hash_pandas_object(splits.train, index=False))
    share = float(np.mean([row in known for row in pd.util.hash_pandas_object(splits.test, index=False)]))
    return Finding(
        gate=f"copies of training rows in test ≤ {limit:.0%}",
        verdict=Verdict.PASS if share <= limit else Verdict.FAIL,
        message=f"{share:.1%} of the test rows equal a training row in every column",
        measured=share,
        limit=limit,
    )


def _told(gate: str, names: list[str], what: str) -> Finding:
    if not names:
        return Finding(gate=gate, verdict=Verdict.PASS, message="There are none", measured=0)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    message = f"{', '.join(names[:_TOLD])}{more} {what}"[:500]
    return Finding(gate=gate, verdict=Verdict.PASS, message=message, measured=len(names))


def _constant(values: Any) -> bool:  # noqa: ANN401 (pandas is not typed here)
    return bool(values.notna().all() and (values == values.iloc[0]).all())


def _rounded(frame: pd.DataFrame) -> list[str]:
    whole = [name for name in frame if pd.api.types.is_integer_dtype(frame[name])]
    return [name for name in whole if (frame[name].dropna().abs() > _FLOAT32_WHOLE).any()]


def _long(frame: pd.DataFrame) -> list[str]:
    texts = [name for name in frame if pd.api.types.is_string_dtype(frame[name])]
    return [name for name in texts if (frame[name].dropna().str.len() > MAX_TEXT).any()]
