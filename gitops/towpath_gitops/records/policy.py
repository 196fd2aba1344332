"""`Policy`: the environments in order, and what each demands before a release may enter."""

from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, NaiveDatetime, PositiveInt, StringConstraints, model_validator

from towpath_gitops.records.base import ApiVersion, Duration, Line, Name, Record
from towpath_gitops.records.evidence import Kind


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        message = "write a time zone of the IANA database: Europe/Berlin or UTC"
        raise ValueError(message) from error
    return name


def _cron(text: str) -> str:
    form = "write five cron fields, such as `0 17 * * 5` for Fridays at five"
    if len(text.split()) != 5:  # noqa: PLR2004 (minute, hour, day, month, weekday; six would count seconds)
        raise ValueError(form)
    try:
        CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 (only its form is checked)
    except CronSimError as error:
        message = f"{form} ({error})"
        raise ValueError(message) from error
    return text


Zone = Annotated[str, AfterValidator(_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Freeze(Record):
    """A time in which nothing moves forward: two dates, or the beginning of each as cron and how long it lasts.

    Local time of `timezone`. What is frozen and what never is: `promotion/eligibility.py`; how it is counted when
    clocks change: `promotion/freezes.py`.
    """

    name: Line = Field(description="what people call it: Christmas, weekend")
    timezone: Zone
    since: NaiveDatetime | None = Field(default=None, alias="from")
    until: NaiveDatetime | None = None
    cron: Cron | None = Field(default=None, description="when it begins, in five cron fields")
    lasts: Duration | None = Field(default=None, description="how long each one lasts")

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        dates, repeated = (self.since, self.until), (self.cron, self.lasts)
        if (None in dates) == (None in repeated) or (any(dates) and any(repeated)):
            message = "a freeze has either `from` and `until` or `cron` and `lasts`"
            raise ValueError(message)
        if self.since and self.until and self.since >= self.until:
            message = "`until` must come after `from`"
            raise ValueError(message)
        if self.lasts is not None and not self.lasts:
            message = "`lasts: 0s` freezes nothing"
            raise ValueError(message)
        return self


class Guard(Record):
    """When a live release is taken back without waiting for a person: too many bad windows of the last few.

    A window is bad when a verification fails in it, or a limit is broken by at least `requests` requests. A window
    with fewer requests is neither good nor bad: no data is never healthy.
    """

    automatic: bool = Field(default=False, description="shift traffic at once, or only alert")
    window: Duration = Field(default="1m", validate_default=True)
    bad: PositiveInt = Field(default=3, description="that many bad windows …")
    of: PositiveInt = Field(default=5, description="… of the last this many")
    requests: PositiveInt = Field(default=20, description="a window with fewer tells nothing")
    errors: Share | None = Field(default=0.01, description="share of requests answered with 5xx")
    p99: Duration | None = Field(default=None, description="latency that 99 of 100 requests stay below")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.bad > self.of:
            message = f"`bad: {self.bad}` of the last {self.of} windows can never be reached"
            raise ValueError(message)
        return self


class Environment(Record):
    """What one environment demands."""

    name: Name
    evidence: dict[Kind, Duration] = Field(
        default_factory=dict, description="kind of evidence → how long it stays fresh"
    )
    approvals: Annotated[int, Field(ge=0, le=10)] = 1
    soak: Duration = Field(
        default="0s",
        validate_default=True,
        description="how long a release must have been healthy one environment before",
    )
    image: Literal["required", "optional"] = Field(
        default="optional", description="required: a release enters only with an image that the registry has on record"
    )
    native: Literal["refuse", "library", "allow"] = Field(
        default="allow",
        description="releases that no graph serves: refuse them; library: refuse those that carry code of their "
        "owner's; allow",
    )
    freeze: tuple[Freeze, ...] = ()
    guard: Guard | None = None


class RollbackLane(Record):
    """The way back: shorter than the way forward."""

    approvals: Annotated[int, Field(ge=0, le=10)] = 1


class HotfixLane(Record):
    """The way around the environments before: a second approver and a reason, and it stays flagged."""

    approvals: Annotated[int, Field(ge=2, le=10)] = Field(
        default=2, description="at least as many as the environment asks for anyway"
    )
    frozen: bool = Field(default=True, description="whether a freeze stops a hotfix, too")


class KeySigning(Record):
    """Releases are signed with a key; whoever holds one of the private halves may sign."""

    method: Literal["key"] = "key"
    keys: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="paths of public keys (PEM) in this repository, read from main"
    )
    unsigned: Literal["refuse", "allow"] = "refuse"


class KeylessSigning(Record):
    """Releases are signed with an identity of OpenID Connect, recorded by Sigstore."""

    method: Literal["keyless"]
    identity: Line = Field(description="who signs: the identity in the certificate")
    issuer: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$")] = Field(description="who vouches for it")
    unsigned: Literal["refuse", "allow"] = "refuse"


Signing = Annotated[KeySigning | KeylessSigning, Field(discriminator="method")]


class LocalForgeSettings(Record):
    """Pull requests on refs of the git remote itself."""

    kind: Literal["local"] = "local"


class GitHubSettings(Record):
    """Pull requests of GitHub, or of a GitHub Enterprise server."""

    kind: Literal["github"]
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_.-]{1,100}$")] = (
        Field(description="owner/name")
    )
    api: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._/-]*)?$")] = (
        "https://api.github.com"
    )


ForgeSettings = Annotated[LocalForgeSettings | GitHubSettings, Field(discriminator="kind")]


class Policy(Record):
    """`gitops/policy.yaml`."""

    api_version: ApiVersion = Field(alias="apiVersion")
    kind: Literal["Policy"]
    forge: ForgeSettings = LocalForgeSettings()
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)] = Field(description="in order of promotion")
    rollback: RollbackLane = RollbackLane()
    hotfix: HotfixLane | None = Field(default=None, description="null: there is no way around an environment")
    signing: Signing | None = Field(default=None, description="null: signatures are not asked for")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [environment.name for environment in self.environments]
        if len(names) != len(set(names)):
            message = f"environment names must be unique: {', '.join(names)}"
            raise ValueError(message)
        return self

    def environment(self, name: str) -> Environment | None:
        """Return what the environment called `name` demands, or None when the policy has none of that name."""
        return next((environment for environment in self.environments if environment.name == name), None)

    def upstream(self, name: str) -> Environment | None:
        """Return the environment before `name`, or None for the first."""
        names = [environment.name for environment in self.environments]
        position = names.index(name)
        return self.environments[position - 1] if position else None

    @property
    def last(self) -> Environment:
        """The environment at the end of the line: the release declared there is the champion."""
        return self.environments[-1]
