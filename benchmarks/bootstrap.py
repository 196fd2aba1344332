"""One resample of a paired bootstrap of ROC AUC, beside scikit-learn's `roc_auc_score` in a loop.

Both measure champion and challenger on the same drawn rows. The loop takes fewer resamples, or nobody would wait for
it; both are told per resample, ours with everything that is prepared once counted in.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from rounds import Contestant, compare, computed, head
from sklearn.metrics import roc_auc_score

from towpath_flows.evaluation.bootstrap import resample
from towpath_flows.evaluation.draws import resample_counts
from towpath_flows.evaluation.metrics import METRICS, Floats

ROUNDS = 9
OURS, LOOP = 2000, 40  # resamples
AUC = METRICS["roc_auc"]


def rows(number: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return a truth (n,), of which one in four is true, and two models' answers (n, 1) to it."""
    random = np.random.default_rng(0)
    y = (random.random(number) < 0.25).astype(np.int64)  # noqa: PLR2004 (the share that the docstring names)
    champion, challenger = (1 / (1 + np.exp(-(y + random.normal(0, 1, number)))) for _ in range(2))
    return y, champion.reshape(-1, 1), challenger.reshape(-1, 1)


def paired(y: NDArray[np.int64], *models: Floats, resamples: int = OURS) -> Floats:
    """Return both models' ROC AUC on every resample (resamples, 2), as `towpath compare` does."""
    return resample([AUC.prepare("binary", y, p) for p in models], len(y), resamples=resamples)


def looped(y: NDArray[np.int64], *models: Floats) -> None:
    """Do the same with scikit-learn, one resample at a time."""
    random = np.random.default_rng(0)
    for _ in range(LOOP):
        drawn = random.integers(len(y), size=len(y))
        for p in models:
            roc_auc_score(y[drawn], p[drawn, 0])


def agree(y: NDArray[np.int64], *models: Floats) -> None:
    """Refuse to compare what differs: on the same draws both must find the same values."""
    counts = next(resample_counts(len(y), 5, 0))
    expected = [[roc_auc_score(y, p[:, 0], sample_weight=drawn) for p in models] for drawn in counts]
    np.testing.assert_allclose(paired(y, *models, resamples=5)[: len(counts)], expected, rtol=1e-9)


def main() -> None:
    """Compare the two on a small, a large, and a very large test part."""
    head()
    for number in (2_000, 20_000, 100_000):
        y, *models = rows(number)
        agree(y, *models)
        compare(
            Contestant(f"`roc_auc_score` in a loop, {number:,} rows", computed(partial(looped, y, *models), LOOP)),
            Contestant("paired bootstrap", computed(partial(paired, y, *models), OURS)),
            ROUNDS if number < 10_000 else 5,  # noqa: PLR2004 (the larger take seconds)
        )


if __name__ == "__main__":
    main()
