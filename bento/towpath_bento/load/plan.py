"""What a load test is asked to do, and what it gives back: the two sides of `python -m towpath_bento.load`."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from towpath_gitops.records.base import Digest, Record
from towpath_gitops.records.figures import Positive
from towpath_gitops.records.load import MOST_ROUNDS, Round, Setting, Shape

Role = Literal["challenger", "champion", "twin"]


class Contestant(Record):
    """A service that runs on this machine's loopback."""

    role: Role
    port: PositiveInt
    pid: PositiveInt = Field(description="of its first process; its children count as well")
    artifact: str = Field(description="folder of the release that it serves")


class Plan(Record):
    """How the services are driven."""

    contestants: Annotated[tuple[Contestant, ...], Field(min_length=1, max_length=3)]
    rounds: Annotated[int, Field(ge=1, le=MOST_ROUNDS)]
    paced_s: Positive
    full_s: Positive
    rate: Positive = Field(description="requests a second in paced stretches")
    users: PositiveInt
    workers: PositiveInt
    shape: Shape = "steady"
    journal: str | None = Field(default=None, description="folder of Parquet files to send instead of the sample")
    callers: str | None = Field(default=None, description="a locustfile whose user class sends the requests")
    report: str | None = Field(default=None, description="where Locust's own page about the challenger is written")
    seed: NonNegativeInt = 0


class Driven(Record):
    """How services were driven, what they answered, and how much memory they held afterwards."""

    setting: Setting
    rounds: tuple[Round, ...]
    memory_bytes: dict[Role, int | None] = Field(default_factory=dict)
    report: Digest | None = Field(default=None, description="of Locust's own page")
