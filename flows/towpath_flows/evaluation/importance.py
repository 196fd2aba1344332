"""Which columns a model listens to, asked of the engine that serves, whatever is inside."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_flows.evaluation.metrics import metrics_of
from towpath_gitops.records.signature import Task

ROWS: Final = 4000  # a sample is enough: importance is read in whole hundredths


def permutation_importance(
    task: Task,
    predict: Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]],
    columns: Mapping[str, NDArray[Any]],
    y: NDArray[Any],
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Return, greatest first, how much worse the task's own metric gets when one column (n, 1) is shuffled.

    Breiman (2001), *Random Forests*. Columns that say the same share their importance: each covers for the other.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(y))[:ROWS])
    sample, truth = {name: values[chosen] for name, values in columns.items()}, y[chosen]
    metric = metrics_of(task)[0]
    whole = metric.measure(task, truth, predict(sample))
    shuffled = random.permutation(len(chosen))
    lost = {
        name: metric.sign * (whole - metric.measure(task, truth, predict({**sample, name: values[shuffled]})))
        for name, values in sample.items()
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1]))
