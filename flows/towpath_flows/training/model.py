"""`Model`: a fitted transformer in front of a fitted estimator, and what callers need to know of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.spec import Framework
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.records.signature import Signature


@dataclass(frozen=True)
class Model:
    """What training gives. `rounds` is the number of boosting rounds."""

    framework: Framework
    pipeline: Any
    estimator: Any
    params: Mapping[str, float | int]
    rounds: int
    signature: Signature

    def predict(self, x: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """Return (n, k) for rows prepared by `Features.x`, in the shape that engines answer."""
        return TRAINERS[self.framework].predict(self.estimator, dense(self.pipeline.transform(x)))


def dense(matrix: Any) -> NDArray[np.float32]:  # noqa: ANN401 (an array, a sparse matrix or a frame)
    """Return transformed rows as the dense float32 array (n, m) that trees learn from and graphs compute with."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float32)
