"""Rows on workers: how they are dealt out, and what a library makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towpath_flows.cluster import Cluster
from towpath_flows.training.trainers.base import Data, Fitted, Params, Setting
from towpath_gitops.errors import TrainingError

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Placed:
    """Dask arrays of rows, one block on each worker: x (n, m) and y, weights (n,); weights where rows have any."""

    x: Any
    y: Any
    weights: Any = None


@dataclass(frozen=True)
class Job:
    """What a library fits: the rows as they lie on `workers`, and which way features may pull the answer."""

    client: "Client"
    workers: tuple[str, ...]
    train: Placed
    validation: Placed | None
    monotone: tuple[int, ...]
    ports: int | None


class ClusterFit(Protocol):
    """What a module of this folder offers; it imports its library inside."""

    def fit(self, job: Job, params: Params, setting: Setting) -> Fitted:
        """Fit on the workers, and return an estimator that knows nothing of them; see `base.Trainer.fit`."""
        ...


def placed(cluster: Cluster, client: "Client", train: Data, validation: Data | None) -> Job:
    """Send the rows to the workers.

    Of `train` every worker gets as many rows, and of each class as many: both libraries fit no faster than the worker
    with most, and LightGBM numbers classes by those that a worker sees. `validation` goes to each worker whole, so
    that all of them find the same loss and stop in the same round: none talks to the others about that.

    Raises:
        TrainingError: there are fewer rows, or fewer of a class, than workers.
    """
    shares = _dealt(train.y, len(cluster.workers), classes=np.issubdtype(train.y.dtype, np.integer))
    rows = _on_workers(cluster, client, [_part(train, share) for share in shares])
    judged = None if validation is None else _on_workers(cluster, client, [validation] * len(cluster.workers))
    return Job(client, cluster.workers, rows, judged, train.monotone, cluster.ports)


def _dealt(y: NDArray[Any], workers: int, *, classes: bool) -> list[NDArray[np.intp]]:
    """Return the places of each worker's rows, in order."""
    order = np.argsort(y, kind="stable") if classes else np.arange(len(y))
    fewest = int(np.unique(y, return_counts=True)[1].min()) if classes else len(y)
    if fewest < workers:
        raise TrainingError(
            f"There are more workers ({workers}) than rows{' of a class' if classes else ''} ({fewest})",
            why="Every worker of the cluster fits a share of the rows, and must see each class.",
            hint="Fit so few rows on one machine: take train.cluster out of model.yaml.",
        )
    return [np.sort(order[worker::workers]) for worker in range(workers)]


def _part(data: Data, share: NDArray[np.intp]) -> Data:
    return Data(data.x[share], data.y[share], None if data.weights is None else data.weights[share])


def _on_workers(cluster: Cluster, client: "Client", parts: Sequence[Data]) -> Placed:
    weights = None if parts[0].weights is None else _array(cluster, client, [part.weights for part in parts])
    x, y = (_array(cluster, client, [getattr(part, name) for part in parts]) for name in ("x", "y"))
    return Placed(x, y, weights)


def _array(cluster: Cluster, client: "Client", blocks: Sequence[Any]) -> Any:  # noqa: ANN401 (Dask's array)
    """Return blocks as one array, each on its worker and nowhere else: tasks go where their rows are."""
    import dask.array as da  # noqa: PLC0415 (heavy)
    from dask.delayed import delayed  # noqa: PLC0415 (heavy)

    arrays = []
    for block, worker in zip(blocks, cluster.workers, strict=True):
        future = client.scatter(block, workers=[worker], hash=False)
        arrays.append(da.from_delayed(delayed(future), shape=block.shape, dtype=block.dtype))
    return da.concatenate(arrays)
