"""A Dask cluster: workers on other machines, or processes of this one, that fit and search where one is not enough."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, Self

from towpath_flows.training_spec import ClusterSpec
from towpath_gitops.errors import ConflictError, MissingDependencyError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_TIMEOUT_S: Final = 15.0
GATHER_TIMEOUT_S: Final = 60.0  # that workers may take to appear, or to come back after they were lost
_POLL_S: Final = 0.2
_TLS: Final = "DASK_DISTRIBUTED__COMM__TLS__"  # with what begins so in the environment Dask fills its configuration
# What decides the bytes of a model that a worker fits; the same here and there, else nobody could make it again.
ALIKE: Final = ("towpath", "xgboost", "lightgbm", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Cluster:
    """The workers of a cluster, by their addresses in the order of their names; and how to reach them.

    `threads` is how many threads the smallest of them has, `expected` how many there were in the beginning.
    """

    client: "Client"
    workers: tuple[str, ...]
    threads: int
    expected: int
    ports: int | None = None

    @classmethod
    def of(cls, client: "Client", expected: int, ports: int | None = None) -> Self:
        """Wait for `expected` workers, and take those that are there when the wait is over.

        Raises:
            UnavailableError: there is none.
        """
        deadline = monotonic() + GATHER_TIMEOUT_S
        while len(found := _workers(client)) < expected and monotonic() < deadline:
            sleep(_POLL_S)
        if not found:
            raise UnavailableError(
                "The Dask cluster has no workers",
                why=f"None appeared at {client.scheduler.address} within {GATHER_TIMEOUT_S:g} s.",  # type: ignore[union-attr]  # it is connected
                hint="Start some: dask worker ADDRESS",
            )
        named = sorted(found, key=lambda address: (len(str(found[address]["name"])), str(found[address]["name"])))
        threads = min(int(each["nthreads"]) for each in found.values())
        return cls(client, tuple(named), threads, expected, ports)

    def again(self) -> "Cluster":
        """Return the cluster as it is after workers were lost: others may have come in their place."""
        return Cluster.of(self.client, self.expected, self.ports)

    def lost(self) -> list[str]:
        """Return which of the workers are no longer there."""
        present = _workers(self.client)
        return [address for address in self.workers if address not in present]

    def present(self) -> tuple[str, ...]:
        """Return the workers that are there now."""
        return tuple(_workers(self.client))

    @contextmanager
    def connected(self, kind: "type[Client]") -> "Iterator[Client]":
        """Give a client of its own, of this kind: what was asked through it ends when it is closed."""
        address, security = self.client.scheduler.address, self.client.security  # type: ignore[union-attr]  # it is connected
        with kind(address, security=security, set_as_default=False, timeout=CONNECT_TIMEOUT_S) as client:
            yield client


@contextmanager
def opened(spec: ClusterSpec | None) -> Iterator[Cluster | None]:
    """Connect to the cluster that model.yaml names, or start one of processes; None where it names none.

    Raises:
        MissingDependencyError: Dask is not installed, or Towpath is not on the workers.
        NotFoundError: the environment variable with the address is not set, or there are no certificates for it.
        UnavailableError: the scheduler does not answer, or there are no workers.
        ConflictError: workers have other versions of what decides a model than this machine.
    """
    if spec is None:
        yield None
        return
    with ExitStack() as stack:
        client = stack.enter_context(_client(spec, stack))
        cluster = Cluster.of(client, spec.workers or 1, spec.ports)
        if spec.workers is None:
            _compare_versions(client)
            cluster = Cluster.of(client, len(cluster.workers), spec.ports)
        _hush()
        client.run(_hush, silent=spec.workers is not None)
        yield cluster


def address_of(spec: ClusterSpec) -> str | None:
    """Return the scheduler's address; None where the cluster is to be started here.

    Raises:
        NotFoundError: the environment variable that should hold it is not set.
    """
    if spec.env is None:
        return spec.address
    if not os.environ.get(spec.env):
        raise NotFoundError(
            f"The environment variable {spec.env} is not set",
            why="model.yaml says under train.cluster that it holds the address of Dask's scheduler.",
            hint=f"Set it: export {spec.env}=tcp://scheduler:8786",
        )
    return os.environ[spec.env]


def _client(spec: ClusterSpec, stack: ExitStack) -> "Client":
    address = address_of(spec)
    try:
        import dask.array  # noqa: F401, PLC0415 (heavy; both libraries need it)
        from distributed import Client  # noqa: PLC0415 (heavy)
    except ImportError as error:
        raise MissingDependencyError(
            "Dask is not installed",
            why=f"model.yaml asks for a cluster under train.cluster: {error}",
            hint="pip install 'towpath[dask]', or take train.cluster out",
        ) from error
    _require_certificates(address)
    try:
        place = address or stack.enter_context(_started(spec.workers or 1))
        return Client(place, set_as_default=False, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"Dask's scheduler at {address} does not answer" if address else "The workers cannot be started",
            why=f"{type(error).__name__}: {error}",
            hint="Is it running, and may this machine reach it? Then try again.",
        ) from error


def _require_certificates(address: str | None) -> None:
    """Look whether Dask's own configuration names certificates for a scheduler that wants them.

    Raises:
        NotFoundError: it does not, or names files that are none.
    """
    if address is None or not address.startswith("tls://"):
        return
    from distributed.security import Security  # noqa: PLC0415 (heavy)

    try:
        # Dask's own words for a client without certificates are those of a type that is wrong.
        named = Security().get_connection_args("client")["ssl_context"] is not None
        why = "The scheduler's address begins with tls://, and Dask's configuration names no certificate and key."
    except OSError as error:  # ssl's errors are of this kind, too
        named, why = False, f"Dask's configuration names files that are none: {error}"
    if not named:
        listed = ", ".join(f"{_TLS}{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"))
        raise NotFoundError(
            f"There are no certificates for the cluster at {address}", why=why, hint=f"Name PEM files: export {listed}"
        )


def local_settings(workers: int) -> dict[str, Any]:
    """Return how processes are started that share the cores.

    All ports are free ones, and none is ended for the memory that it takes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return {
        "n_workers": workers,
        "threads_per_worker": max(1, cores // workers),
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "worker_dashboard_address": None,
        "memory_limit": 0,
        "silence_logs": "CRITICAL",
    }


def _started(workers: int) -> Any:  # noqa: ANN401 (Dask's class, imported late)
    from distributed import LocalCluster  # noqa: PLC0415 (heavy)

    return LocalCluster(**local_settings(workers))


def _workers(client: "Client") -> dict[str, Any]:
    """Return address → what the scheduler knows of each worker now."""
    return dict(client.scheduler_info(n_workers=-1)["workers"])


def versions() -> dict[str, str]:
    """Return the versions of what decides a model, as this process has them."""
    found = {}
    for name in ALIKE:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _compare_versions(client: "Client") -> None:
    here = versions()
    for address, there in _asked(client, versions).items():
        other = {name: there.get(name, "is missing") for name in ALIKE if there.get(name) != here.get(name)}
        if other:
            told = ", ".join(f"{name} {found} (here {here.get(name, 'missing')})" for name, found in other.items())
            raise ConflictError(
                f"The worker {address} has other libraries than this machine",
                why=f"{told}: they would fit another model.",
                hint="Give the workers the environment of requirements.txt, and start them again.",
            )


def _asked(client: "Client", question: Callable[[], Any]) -> dict[str, Any]:
    try:
        return dict(client.run(question))
    except ImportError as error:
        raise MissingDependencyError(
            "The cluster's workers have no Towpath",
            why=str(error),
            hint="pip install 'towpath[flows,dask]' in the environment of the workers, and start them again",
        ) from error
    except OSError as error:
        raise UnavailableError(
            "A worker of the cluster does not answer", why=f"{type(error).__name__}: {error}", hint="Try again."
        ) from error


def _hush(*, silent: bool = False) -> None:
    """Let LightGBM say nothing of ports and ranks; a worker that was started here is `silent` altogether."""
    import logging  # noqa: PLC0415 (runs on a worker)

    import lightgbm  # noqa: PLC0415 (heavy)

    quiet = logging.getLogger("towpath.lightgbm")
    quiet.setLevel(logging.ERROR)
    lightgbm.register_logger(quiet)
    if silent:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)  # the libraries' own threads write there past every logger
