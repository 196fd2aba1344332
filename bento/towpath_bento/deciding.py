"""From a model's answers to its decision: by a threshold, by the likeliest class, or by what mistakes cost.

One place decides, in training as in service, so that both decide alike.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towpath_gitops.records.signature import Matrix, Signature, Task

DEFAULT_THRESHOLD = 0.5  # of binary models whose signature does not say

# A binary model's threshold; or what each decision (column) costs where each class (row) is true. A plain number says
# nothing to a model of many classes: the likeliest is decided for.
Rule = float | Matrix


def rule_of(signature: Signature) -> Rule:
    """Return by what the model with this signature decides."""
    if signature.costs is not None:
        return signature.costs
    return DEFAULT_THRESHOLD if signature.threshold is None else signature.threshold


def decide(task: Task, values: NDArray[Any], rule: Rule = DEFAULT_THRESHOLD) -> NDArray[np.int64]:
    """Return the number of the class (n,) that answers (n, k) of a classification decide for; 0 for a regression."""
    if task == "regression":
        return np.zeros(len(values), np.int64)
    if isinstance(rule, tuple):
        return least_cost(values, rule)
    if task == "multiclass":
        return np.asarray(values.argmax(axis=1), np.int64)
    return np.asarray(values[:, 0].astype(np.float64) >= rule, np.int64)  # a threshold is no number of 32 bits


def least_cost(chances: NDArray[Any], costs: Matrix) -> NDArray[np.int64]:
    """Return the class (n,) of least expected cost, the first of equals (Elkan 2001), for probabilities (n, k).

    What is added to all prices of one truth changes no decision: each row of the matrix is taken less its dearest
    entry, so that prices of 0 and 1 decide exactly as the greatest probability does. Classes are added one by one: a
    row is decided alike whatever rows it is asked with.
    """
    prices = np.asarray(costs, dtype=np.float64)
    prices -= prices.max(axis=1, keepdims=True)
    expected = np.zeros((len(chances), len(prices)))
    for truth, row in enumerate(prices):
        expected += np.asarray(chances[:, truth], dtype=np.float64)[:, None] * row
    return np.asarray(expected.argmin(axis=1), np.int64)
