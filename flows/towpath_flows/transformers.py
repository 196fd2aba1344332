"""Reusable transformers for `features.py`; each becomes part of the graph that is served.

    from towpath_flows.transformers import Cyclic, Log, RareCategories

| transformer | takes | gives |
| --- | --- | --- |
| `Cyclic(period)` | numbers that come round again | sine and cosine |
| `Log()` | numbers of many magnitudes | signed logarithm of 1 + size |
| `Ratio()` | two numbers | the first by the second |
| `Clip(low, high)` | numbers with outliers | numbers within limits, given or learned |
| `Bucket(bins)` | numbers | the bucket's number |
| `RareCategories(share)` | text | text, with all that is rare or new under one name; put an encoder behind it |
| `target_encoding(seed, task)` | text | the mean target of the rows with that text, drawn to the overall mean |

The same can be declared under `features` in model.yaml (`towpath_flows.feature_spec`).
"""

from typing import Any, Final

from towpath_bento.transformers import Bucket, Clip, Cyclic, Log, RareCategories, Ratio
from towpath_gitops.records.signature import Task

__all__ = ["Bucket", "Clip", "Cyclic", "Log", "RareCategories", "Ratio", "target_encoding"]

# Left to itself, scikit-learn takes whole numbers for classes.
_KINDS: Final[dict[Task, str]] = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}


def target_encoding(seed: int = 0, task: Task = "binary") -> Any:  # noqa: ANN401 (scikit-learn is not typed)
    """Return scikit-learn's target encoder, unfitted: out of fold on the training rows (Micci-Barreca, 2001).

    Two classes and regression become part of the graph. With more classes the encoder has no twin in ONNX, and the
    native engine serves the model.
    """
    from sklearn.model_selection import KFold  # noqa: PLC0415 (heavy)
    from sklearn.preprocessing import TargetEncoder  # noqa: PLC0415 (heavy)

    # Since 1.9 folds are given as an object; before that by a seed.
    if "deprecated" in str(TargetEncoder().random_state):
        return TargetEncoder(target_type=_KINDS[task], cv=KFold(5, shuffle=True, random_state=seed))
    return TargetEncoder(target_type=_KINDS[task], random_state=seed)
