"""`Model`: a fitted transformer in front of a fitted estimator, and what callers need to know of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines.native import dense
from towpath_flows.spec import Framework
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training.trials import Trial
from towpath_flows.training_spec import Value
from towpath_gitops.records.evidence import Finding
from towpath_gitops.records.figures import ChosenThreshold
from towpath_gitops.records.signature import Signature


@dataclass(frozen=True)
class Model:
    """What training gives. `rounds` is the number of boosting rounds, `trials` what the search for `params` tried.

    `threshold` tells how one was chosen, if it was; `findings` say which features look wrong; `workers` are how many
    of a cluster fitted it, None where this machine did.
    """

    framework: Framework
    pipeline: Any
    estimator: Any
    params: Mapping[str, Value]
    rounds: int
    signature: Signature
    trials: tuple[Trial, ...] = ()
    threshold: ChosenThreshold | None = None
    findings: tuple[Finding, ...] = ()
    workers: int | None = None

    def predict(self, x: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """Return (n, k) for rows prepared by `Features.x`, in the shape that engines answer."""
        return TRAINERS[self.framework].predict(self.estimator, dense(self.pipeline.transform(x)))
