"""What every target can do, and the words in which its steps answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import ConfigDict, Field

from towpath_gitops.delivery.lease import Lease
from towpath_gitops.delivery.loopback import Answer
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.base import Record
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.pointer import LaneName, LanePointer, Split
from towpath_gitops.repository import Repository


@dataclass(frozen=True)
class Done:
    """The step has nothing left to do; `changed` when it did something now."""

    note: str = ""
    changed: bool = False


@dataclass(frozen=True)
class Waiting:
    """The step is under way; ask it again after `retry_after_s` seconds."""

    reason: str
    retry_after_s: float = 0.1


@dataclass(frozen=True)
class Failed:
    """Asking again will not help."""

    error: TowpathError


Result = Done | Waiting | Failed


@dataclass(frozen=True)
class Step:
    """One move towards what is wanted; safe to repeat, never sleeping."""

    name: str
    run: Callable[[], Result]


class Version(Record):
    """What a running service says of itself at `/version`."""

    model_config = ConfigDict(extra="ignore")  # a newer service may say more

    model: str
    environment: str
    release: str | None = None
    lanes: dict[str, str] = Field(default_factory=dict)
    generation: int = 0
    converged: bool = False
    workers: dict[str, int] = Field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a target should come to serve."""

    deployment: Deployment
    commit: str  # of main; the service's code is taken from there
    lanes: Mapping[LaneName, LanePointer]
    split: Split | None = None


@dataclass(frozen=True)
class Observed:
    """What a target was seen to do."""

    running: bool
    version: Version | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Target(Protocol):
    """A place where a model is served."""

    lease: Lease

    def observe(self) -> Observed:
        """Return what runs now, without changing anything."""
        ...

    def serves(self, wanted: Wanted) -> bool:
        """Return whether exactly what is wanted is live and converged, asking without changing anything."""
        ...

    def steps(self, wanted: Wanted) -> Sequence[Step]:
        """Return the steps that lead from whatever is there to what is wanted, in order."""
        ...

    def shift(self, to: LanePointer) -> Sequence[Step]:
        """Return the steps that move all traffic to one release at once, with nothing else touched.

        It must be in the store. What serves goes on serving until the other does, and stays warm.
        """
        ...

    def ask(self, path: str, body: bytes | None = None, *, lane: LaneName = "champion") -> Answer:
        """GET a path of the running service, or POST JSON to one of its lanes; it is not counted as traffic.

        Raises:
            UnavailableError: it does not answer.
        """
        ...

    def stop(self) -> None:
        """Stop what this target runs; nothing to stop is fine."""
        ...


MakeTarget = Callable[[Repository, Deployment], Target]
