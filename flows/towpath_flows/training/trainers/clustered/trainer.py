"""A trainer that fits on a cluster's workers, and goes on when one of them is lost."""

import os
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_flows.cluster import Cluster
from towpath_flows.tracker import started
from towpath_flows.training.trainers.base import Data, Fitted, OnRound, Params, Setting, Trainer
from towpath_flows.training.trainers.clustered.base import ClusterFit, placed
from towpath_flows.training_spec import Space, Value
from towpath_gitops.errors import TowpathError, UnavailableError

if TYPE_CHECKING:
    from distributed import Client

_TRIES: Final = 2
_WATCH_S: Final = 0.5
_STUCK_S: Final = 5.0  # that a worker gets to notice that another is gone
_NOTICE_S: Final = 15.0  # that the scheduler gets


class WorkerLostError(Exception):
    """A worker that took part in a fit is gone."""


@dataclass
class ClusterTrainer:
    """A library's trainer, but for `fit`, which the workers do together.

    `lost` counts the workers that were lost on the way.
    """

    local: Trainer
    over: ClusterFit
    cluster: Cluster
    lost: list[str] = field(default_factory=list)

    def space(self) -> Space:
        """Return where parameters are looked for."""
        return self.local.space()

    def tunable(self) -> frozenset[str]:
        """Return the names of all parameters that an owner may search or fix."""
        return self.local.tunable()

    def defaults(self) -> dict[str, Value]:
        """Return parameters that do well on most tables."""
        return self.local.defaults()

    def fit(
        self, train: Data, validation: Data | None, params: Params, setting: Setting, on_round: OnRound | None = None
    ) -> Fitted:
        """Fit on the workers; see `towpath_flows.training.trainers.base.Trainer`.

        Where a worker is lost, the fit is begun again on those that are there then, once. Rounds pass on the workers
        and nobody hears of them.

        Raises:
            UnavailableError: workers are lost again, or none is left.
            TrainingError: there are fewer rows of a class than workers.
            ValueError: `on_round` is given.
        """
        if on_round is not None:
            message = "a fit on a cluster tells nobody of its rounds; trials are fitted by one worker each"
            raise ValueError(message)
        for _ in range(_TRIES):
            try:
                fitted = self._tried(train, validation, params, setting)
                return replace(fitted, workers=len(self.cluster.workers))
            except WorkerLostError as error:
                self.lost.append(str(error))
                self.cluster = self.cluster.again()
        raise UnavailableError(
            f"Workers of the cluster were lost in the middle of a fit, {_TRIES} times",
            why=f"Gone are {', '.join(self.lost)}. Nothing was registered.",
            hint="Look at the workers' logs: was their memory enough? Then train again; trials that ended are kept.",
        )

    def predict(self, estimator: Any, x: NDArray[np.float32]) -> NDArray[np.floating[Any]]:  # noqa: ANN401 (untyped library)
        """Return (n, k), computed here."""
        return self.local.predict(estimator, x)

    def save(self, estimator: Any) -> tuple[str, bytes]:  # noqa: ANN401 (untyped library)
        """Return the file name and the bytes of the booster."""
        return self.local.save(estimator)

    def register(self) -> None:
        """Tell skl2onnx how to turn this library's estimators into graphs."""
        self.local.register()

    def _tried(self, train: Data, validation: Data | None, params: Params, setting: Setting) -> Fitted:
        """Fit in a thread through a client of its own, and watch the workers meanwhile.

        Raises:
            WorkerLostError: one of them is gone.
        """
        asked: set[Any] = set()
        with self.cluster.connected(_client(asked)) as client:
            result: Future[Fitted] = Future()

            def work() -> None:
                try:
                    with client.as_current():
                        job = placed(self.cluster, client, train, validation)
                        result.set_result(self.over.fit(job, params, setting))
                except BaseException as error:  # noqa: BLE001 (whatever it is, the other thread raises it)
                    result.set_exception(error)

            Thread(target=work, name="towpath-cluster-fit", daemon=True).start()
            try:
                while not wait([result], timeout=_WATCH_S).done:
                    self._require()
                return self._outcome(result)
            except WorkerLostError:
                _give_up(client)
                wait([result], timeout=_STUCK_S)
                self._free(asked)
                raise

    def _require(self) -> None:
        """Raise WorkerLostError when a worker is gone."""
        if lost := self.cluster.lost():
            raise WorkerLostError(", ".join(lost))

    def _outcome(self, result: "Future[Fitted]") -> Fitted:
        """Return what the thread found; what failed because a worker is gone is told as that."""
        error = result.exception()
        if error is None:
            return result.result()
        if isinstance(error, TowpathError):
            raise error
        deadline = monotonic() + _NOTICE_S  # the scheduler hears of a death a moment later than the other workers
        while not (lost := self.cluster.lost()) and monotonic() < deadline:
            sleep(_WATCH_S)
        if lost:
            raise WorkerLostError(", ".join(lost)) from error
        raise error

    def _free(self, keys: "set[Any]") -> None:
        """End workers that go on with one of these tasks: Dask cannot interrupt them, and they may never be done.

        Their nannies start others in their place.
        """
        deadline = monotonic() + _STUCK_S
        while (stuck := self._busy(keys)) and monotonic() < deadline:
            sleep(_WATCH_S)
        if not stuck:
            return
        self.cluster.client.run(_end, workers=stuck, wait=False)
        deadline = monotonic() + _NOTICE_S
        while set(stuck) & set(self.cluster.present()) and monotonic() < deadline:
            sleep(_WATCH_S)

    def _busy(self, keys: "set[Any]") -> list[str]:
        """Return the workers that have a thread at one of these tasks, also where nobody waits for it any more."""
        found = self.cluster.client.run(_running, on_error="ignore")
        return [worker for worker, running in found.items() if keys & set(running)]


def _running(dask_worker: Any) -> list[Any]:  # noqa: ANN401 (Dask's; it looks for an argument of this name)
    return [task.key for task in dask_worker.state.all_running_tasks]


async def _end() -> None:
    """End the worker that this runs on; a coroutine, since for others Dask would wait for an answer."""
    os._exit(1)


def _client(asked: set[Any]) -> "type[Client]":
    """Return Dask's client as the libraries need it; the keys of what is submitted are added to `asked`."""
    from distributed import Client  # noqa: PLC0415 (heavy)

    class FittingClient(Client):
        """Keeps order, keeps the scheduler alive, and notes what is asked."""

        def submit(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (Dask's)
            """Submit, and remember the key: a part of a fit that failed elsewhere goes on after its future is gone."""
            future = super().submit(*arguments, **options)
            asked.add(future.key)
            return future

        def who_has(self, futures: Any = None, **options: Any) -> Any:  # noqa: ANN401 (Dask's)
            """Return key → workers in the order of `futures`; Dask's own asks in that of a set.

            LightGBM numbers the workers by this order, and a model depends on the numbers.
            """
            found = super().who_has(futures, **options)  # type: ignore[no-untyped-call]  # Dask is partly annotated
            return found if futures is None else {future.key: found[future.key] for future in futures}

        def run_on_scheduler(self, function: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (as above)
            """Run XGBoost's tracker, which it starts there, in a process of its own; see `towpath_flows.tracker`."""
            if function.__name__ == "_start_tracker":
                workers, from_dask, from_user, timeout_s = arguments
                host, port = from_user or ("", 0)
                hosts = [host, from_dask or ""]
                return super().run_on_scheduler(started, workers, hosts, port, timeout_s or 0)  # type: ignore[no-untyped-call]  # as above
            return super().run_on_scheduler(function, *arguments, **options)  # type: ignore[no-untyped-call]  # as above

    return FittingClient


def _give_up(client: "Client") -> None:
    """Cancel what is waited for: whoever waits ends in order, and lets go of the locks that it holds."""
    from distributed import Future as Asked  # noqa: PLC0415 (heavy)

    pending = [key for key, state in list(client.futures.items()) if state.status == "pending"]
    client.cancel([Asked(key, client) for key in pending])
