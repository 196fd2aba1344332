"""`Pointer`: the small file that tells a local service which releases to hold live in which lanes.

Swapped atomically by the local target, polled by every worker of the service. Each worker answers by writing a
`WorkerState` beside it, so that the target (and `/version`) can tell when all of them have converged.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from towpath_gitops.records.base import ApiVersion, Digest, Name, Record

POINTER = "pointer.json"
JOURNAL = "journal"  # folder beside the pointer: what the service remembers of its answers
WORKERS = "workers"  # folder beside the pointer; one file per worker, named by its process id
POINTER_VARIABLE = "TOWPATH_POINTER"  # environment variable that holds the pointer's path
# Header of the questions that Towpath itself asks. It names the lane that shall answer; they are nobody's traffic.
PROBE_HEADER = "x-towpath-probe"
LANE_HEADER = "x-towpath-lane"  # names the lane: in an answer the one that gave it, in a request the one wished for
EARLIER = 8  # releases of before that a pointer names

LaneName = Literal["champion", "challenger", "shadow"]


class LanePointer(Record):
    """One release to hold live: its identity, its artifact's digest, and where the checked files lie."""

    release: Digest
    artifact: Digest
    path: str = Field(description="absolute path of the artifact in the content-addressed store")


class Split(Record):
    """How requests are shared between champion and challenger."""

    mode: Literal["ab", "shadow", "canary"]
    share: Annotated[float, Field(gt=0, le=1)]
    salt: str = Field(description="mixed into the hash of the entity key, so that experiments are independent")


class Pointer(Record):
    """What a local service should hold live."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    model: Name
    environment: Name
    generation: PositiveInt = Field(description="grows with every swap")
    lanes: dict[LaneName, LanePointer]
    split: Split | None = None
    earlier: tuple[LanePointer, ...] = Field(
        default=(), max_length=EARLIER, description="what every worker served here before: askable by id, newest first"
    )


class WorkerState(Record):
    """What one worker of the service holds live."""

    pid: PositiveInt
    generation: NonNegativeInt
    lanes: dict[LaneName, Digest]
    error: str | None = Field(
        default=None, description="why the wanted generation could not be loaded; the old one still serves"
    )
