"""Where trials are fitted: by threads of this process, or by the workers of a cluster, one set each at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from queue import SimpleQueue
from statistics import mean
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from uuid import uuid4

from towpath_flows.cluster import GATHER_TIMEOUT_S, Cluster
from towpath_flows.training.preparation import Prepared
from towpath_flows.training.trainers import TRAINERS, OnRound, Params, Setting
from towpath_flows.training.trainers.base import Data
from towpath_flows.training_spec import Framework
from towpath_gitops.errors import UnavailableError

if TYPE_CHECKING:
    from distributed import Future, Queue

# Gets the step, which counts rounds over all folds, and the mean loss by then; raises to have the trial given up.
Told = Callable[[int, float], None]
Fold = tuple[Data, Data | None]

_ROUNDS_TOLD: Final = 30  # a trial may be given up within a fold each so many rounds; each time is written to disk
_LISTEN_S: Final = 0.2
_ANSWER_TIMEOUT_S: Final = 120.0  # after which a worker goes on unanswered


@dataclass(frozen=True)
class Tried:
    """What came of a set of parameters: means over the folds, and who fitted it."""

    loss: float
    rounds: int
    worker: str | None = None


class Bench(Protocol):
    """Fits a set of parameters on every fold."""

    @property
    def places(self) -> int:
        """How many sets it fits at a time."""
        ...

    def fit(self, framework: Framework, params: Params, told: Told | None = None) -> Tried:
        """Fit; what `told` raises ends it and passes through. Safe to call from several threads."""
        ...


@dataclass(frozen=True)
class LocalBench:
    """The cores of this machine, in threads: both libraries fit without Python's lock."""

    folds: Sequence[Prepared]
    setting: Setting
    places: int

    def fit(self, framework: Framework, params: Params, told: Told | None = None) -> Tried:
        """Fit in the calling thread."""
        return _fit([(fold.train, fold.judge) for fold in self.folds], framework, params, self.setting, told)


@dataclass(frozen=True)
class ClusterBench:
    """The workers of a cluster. Each holds all folds; `free` are those that fit nothing now, of the `known` ones."""

    cluster: Cluster
    folds: "Future[Any]"
    setting: Setting
    free: "SimpleQueue[str]"
    known: set[str]
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, cluster: Cluster, folds: Sequence[Prepared], setting: Setting) -> Self:
        """Send the folds to all workers."""
        pairs = [(fold.train, fold.judge) for fold in folds]
        free: SimpleQueue[str] = SimpleQueue()
        for worker in cluster.workers:
            free.put(worker)
        held = cluster.client.scatter([pairs], broadcast=True, hash=False)[0]
        return cls(cluster, held, setting, free, set(cluster.workers))

    @property
    def places(self) -> int:
        """One for each worker."""
        return len(self.cluster.workers)

    def fit(self, framework: Framework, params: Params, told: Told | None = None) -> Tried:
        """Fit on a worker that is free, or on any other where that one is lost; listen to it meanwhile.

        Raises:
            UnavailableError: no worker is left, or this set has ended several.
        """
        worker = self._standing(self.free.get())
        try:
            return self._fit(worker, framework, params, told)
        finally:
            self.free.put(worker)

    def _standing(self, worker: str) -> str:
        """Return the worker; where it is lost, one that came in its place, lest two sets be fitted by one worker."""
        with self.lock:
            present = self.cluster.present()
            newcomers = [each for each in present if each not in self.known]
            if worker in present or not newcomers:
                return worker
            self.known.remove(worker)
            self.known.add(newcomers[0])
            return newcomers[0]

    def _fit(self, worker: str, framework: Framework, params: Params, told: Told | None) -> Tried:
        from distributed import KilledWorker, Queue  # noqa: PLC0415 (heavy)

        client, name = self.cluster.client, f"towpath-{uuid4().hex}"
        heard, answers = (Queue(f"{name}-{way}", client=client) for way in ("told", "answers"))
        future = client.submit(
            _fit_on_worker,
            self.folds,
            framework,
            dict(params),
            self.setting,
            name if told else None,
            workers=[worker],
            allow_other_workers=True,
            pure=False,
        )
        try:
            self._listen(future, heard, answers, told)
            found: Tried = future.result()
        except (KilledWorker, CancelledError) as error:
            raise UnavailableError(
                "Workers of the cluster were lost while they tried parameters",
                why=f"{type(error).__name__}: {str(error)[:300]}",
                hint="Look at the workers' logs: was their memory enough? Then train again: done trials are kept.",
            ) from error
        finally:
            future.cancel()
            heard.close()
            answers.close()
        return found

    def _listen(self, future: "Future[Any]", heard: "Queue", answers: "Queue", told: Told | None) -> None:
        """Pass on what the worker tells until it is done, each step once: it begins again where a worker was lost."""
        known, last = -1, monotonic()
        while not future.done():
            try:
                step, loss = heard.get(timeout=_LISTEN_S)
            except TimeoutError:
                last = self._alive(last)
                continue
            if told and step > known:
                told(step, loss)  # what it raises ends the trial: the caller cancels what the worker does
                known = step
            answers.put(True)

    def _alive(self, last: float) -> float:
        """Return now if there are workers, else `last`, when there were some.

        Raises:
            UnavailableError: there have been none for too long.
        """
        now = monotonic()
        if len(self.cluster.lost()) < len(self.cluster.workers) or self.cluster.present():
            return now
        if now - last > GATHER_TIMEOUT_S:
            raise UnavailableError(
                "The cluster has lost all its workers",
                why=f"None has come back for {GATHER_TIMEOUT_S:g} s.",
                hint="Start some, and train again: trials that ended are kept.",
            )
        return last


def _fit(folds: Sequence[Fold], framework: Framework, params: Params, setting: Setting, told: Told | None) -> Tried:
    losses: list[float] = []
    rounds: list[int] = []
    for number, (train, judge) in enumerate(folds):
        on_round = _teller(told, losses, number * setting.rounds) if told else None
        fitted = TRAINERS[framework].fit(train, judge, params, setting, on_round)
        losses.append(fitted.loss)
        rounds.append(fitted.rounds)
        if told and number + 1 < len(folds):
            told((number + 1) * setting.rounds, mean(losses))
    return Tried(mean(losses), round(mean(rounds)))


def _teller(told: Told, losses: Sequence[float], start: int) -> OnRound:
    """Return what hears of each round of a fold; steps count rounds over all folds."""

    def on_round(done: int, loss: float) -> None:
        if done and done % _ROUNDS_TOLD == 0:
            told(start + done, mean([*losses, loss]))

    return on_round


def _fit_on_worker(
    folds: Sequence[Fold], framework: Framework, params: Params, setting: Setting, name: str | None
) -> Tried:
    """Fit on the worker that runs this; with `name`, tell of the rounds by the queues of that name."""
    from distributed import Queue, get_worker  # noqa: PLC0415 (heavy)

    told: Told | None = None
    if name is not None:
        heard, answers = Queue(f"{name}-told"), Queue(f"{name}-answers")

        def told(step: int, loss: float) -> None:
            heard.put((step, loss))
            answers.get(timeout=_ANSWER_TIMEOUT_S)

    found = _fit(folds, framework, params, setting, told)
    return Tried(found.loss, found.rounds, get_worker().address)
