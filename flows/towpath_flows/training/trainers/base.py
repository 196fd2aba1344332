"""What a trainer is."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towpath_flows.training_spec import Space, Value
from towpath_gitops.records.signature import Task

Params = Mapping[str, Value]
OnRound = Callable[[int, float], None]
Predict = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Data:
    """Transformed features (n, m), float32, and the target (n,): class codes or values.

    `weights` (n,) say what each row counts, None that all count alike. `monotone` has a sign for each feature: with 1
    the answer may only rise with it, with -1 only fall; empty where nothing is asked for.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    weights: NDArray[np.float32] | None = None
    monotone: tuple[int, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What does not change while parameters are searched. `patience` counts rounds; no `threads` means all cores."""

    task: Task
    classes: int
    rounds: int
    patience: int
    seed: int
    threads: int | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator of the library's scikit-learn interface and how many rounds it has.

    `loss` is the best on the validation rows, NaN when there were none: binary 1 - ROC AUC, multiclass log loss,
    regression root mean square error. Log loss is no guide for two classes when time passes: a base rate that shifts
    between train and validation moves it more than a better order of the rows does, and fits stop after few rounds.
    """

    estimator: Any
    rounds: int
    loss: float
    workers: int | None = None  # of a cluster, that fitted it together


class Trainer(Protocol):
    """What a module of this folder offers; it imports its library inside."""

    def space(self) -> Space:
        """Return where parameters are looked for. The same keys as `defaults`."""
        ...

    def tunable(self) -> frozenset[str]:
        """Return the names of all parameters that an owner may search or fix: the rest belongs to the trainer."""
        ...

    def defaults(self) -> dict[str, Value]:
        """Return parameters that do well on most tables; the first trial tries them."""
        ...

    def fit(
        self, train: Data, validation: Data | None, params: Params, setting: Setting, on_round: OnRound | None = None
    ) -> Fitted:
        """Fit on `train`; with `validation` stop when it no longer gains, else after `setting.rounds`.

        Weights count on both; a missing value, NaN, goes down a branch of its own. `on_round` gets each round's number
        and its loss on validation; what it raises ends the fit and passes through. The same inputs give the same model
        on the same number of threads.
        """
        ...

    def predict(self, estimator: Any, x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:  # noqa: ANN401 (untyped library)
        """Return (n, k): binary k = 1, the probability of the second class; multiclass k = classes; regression 1."""
        ...

    def save(self, estimator: Any) -> tuple[str, bytes]:  # noqa: ANN401 (untyped library)
        """Return the file name and the bytes of the booster in the library's own format."""
        ...

    def register(self) -> None:
        """Tell skl2onnx how to turn this library's estimators into graphs."""
        ...


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def loss(metric: str, score: float) -> float:
    """Return a library's score so that less is better."""
    return 1 - float(score) if metric == "auc" else float(score)


def proba(estimator: Any, x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:  # noqa: ANN401 (untyped library)
    """Return what an estimator of the scikit-learn interface answers, in the shape of `Trainer.predict`."""
    if not hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict(x)).reshape(-1, 1)
    answer = np.asarray(estimator.predict_proba(x))
    return answer[:, 1:] if answer.shape[1] == 2 else answer  # noqa: PLR2004 (of two classes one says it all)
