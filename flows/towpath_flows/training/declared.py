"""Features that `model.yaml` declares become one transformer; columns that none replaces pass as they always do."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from towpath_flows import feature_spec as declared
from towpath_flows.training.features import Features, default_blocks
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.signature import Task

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_BESIDE: Final = (declared.CyclicFeature, declared.RatioFeature)  # the column itself stays a feature as well
_TEXT: Final = (declared.RareFeature, declared.TargetFeature)


def declared_transformer(
    features: Features, x: pd.DataFrame, asked: tuple[declared.Feature, ...], seed: int
) -> "BaseEstimator":
    """Return the unfitted transformer of the declared features, in their order, behind the default one of the rest.

    Raises:
        InvalidFileError: a feature names a column that is no input, or one of the wrong type.
    """
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 (heavy)

    for number, feature in enumerate(asked):
        _check(features, number, feature)
    replaced = {name for feature in asked if not isinstance(feature, _BESIDE) for name in columns_of(feature)}
    blocks = default_blocks(features, x, [name for name in features.names if name not in replaced])
    made = [
        (f"{kind_of(each)}{place}", _made(each, seed, features.signature.task), columns_of(each))
        for place, each in enumerate(asked)
    ]
    return ColumnTransformer([*blocks, *made], sparse_threshold=0)


def kind_of(feature: declared.Feature) -> str:
    """Return the word by which model.yaml declares the feature."""
    return next(kind for kind in declared.KINDS if hasattr(feature, kind))


def columns_of(feature: declared.Feature) -> list[str]:
    """Return the columns that the feature is made of."""
    named = getattr(feature, kind_of(feature))
    return list(named) if isinstance(named, tuple) else [named]


def _check(features: Features, number: int, feature: declared.Feature) -> None:
    types = {column.name: column.type for column in features.signature.inputs}
    where = f"model.yaml: features[{number}].{kind_of(feature)}"
    for name in columns_of(feature):
        if name not in types:
            near = get_close_matches(name, types, n=1)
            raise InvalidFileError(
                f"{where}: {name} is no input of the model",
                why=f"The inputs are {', '.join(types)}.",
                hint=f"Did you mean {near[0]}?" if near else "Only columns that callers send can be features.",
            )
        if (types[name] == "string") != isinstance(feature, _TEXT):
            raise InvalidFileError(
                f"{where}: {name} is {'text' if types[name] == 'string' else 'a number'}",
                why=f"{kind_of(feature)} is made of {'text' if isinstance(feature, _TEXT) else 'numbers'}.",
            )


def _made(feature: declared.Feature, seed: int, task: Task) -> Any:  # noqa: ANN401 (scikit-learn is not typed)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (heavy)
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415 (heavy)

    from towpath_flows import transformers as made  # noqa: PLC0415 (imports scikit-learn)

    if isinstance(feature, declared.RareFeature):
        words = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        return Pipeline([("rare", made.RareCategories(feature.share)), ("words", words)])
    if isinstance(feature, declared.TargetFeature):
        return made.target_encoding(seed, task)
    if isinstance(feature, declared.CyclicFeature):
        return made.Cyclic(feature.period)
    if isinstance(feature, declared.ClipFeature):
        return made.Clip(feature.low, feature.high)
    if isinstance(feature, declared.BucketFeature):
        return made.Bucket(feature.bins)
    return made.Ratio() if isinstance(feature, declared.RatioFeature) else made.Log()
