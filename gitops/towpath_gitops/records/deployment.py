"""`Deployment`: one environment file, half written by promotions and half owned by the environment."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, PositiveInt, model_validator

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.base import (
    ApiVersion,
    Commit,
    Digest,
    Duration,
    Image,
    Line,
    Name,
    Record,
    Semver,
    short,
)
from towpath_gitops.records.parsing import dump_yaml, load_yaml, parse_yaml
from towpath_gitops.records.release import Release

# The fields that a change may write. Everything else belongs to the environment's owner.
PROMOTABLE = ("release", "change", "hold", "experiment")


class ChangeType(StrEnum):
    """Why an environment file was edited."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    REPACKAGE = "repackage"
    EXPERIMENT = "experiment"
    HOLD = "hold"
    HOTFIX = "hotfix"


class PinnedRelease(Record):
    """A release as an environment file states it: its fields, its id, and the image that carries it."""

    id: Digest
    version: PositiveInt
    semver: Semver
    artifact: Digest
    input_schema: Digest = Field(alias="schema")
    data: Digest
    code: Commit
    image: Image | None = None

    @classmethod
    def of(cls, release: Release, image: str | None = None) -> Self:
        """Pin a release, and where a target needs one its image by digest."""
        fields = release.model_dump(exclude={"model"}, by_alias=False)
        return cls(id=release.id, image=image, **fields)

    def release(self, model: str) -> Release:
        """Return the release of `model` that is pinned."""
        return Release(model=model, **self.model_dump(exclude={"id", "image"}, by_alias=False))


class Change(Record):
    """What the last edit did, and what it replaced (compare-and-swap)."""

    type: ChangeType
    replaces: Digest | None = Field(
        alias="from", description="the release that was declared before; null for the first"
    )
    reason: Line
    evidence: Digest | None = Field(default=None, description="digest of the evidence that the change rests on")


class Hold(Record):
    """Releases that automation may not bring back."""

    blocked: tuple[Digest, ...]
    reason: Line
    by: Line
    since: AwareDatetime


Mode = Literal["ab", "shadow", "canary"]


class Experiment(Record):
    """A challenger beside the champion."""

    challenger: PinnedRelease
    mode: Mode
    share: Annotated[float, Field(gt=0, lt=1, description="share of requests that the challenger answers or shadows")]

    def __str__(self) -> str:
        """Name the challenger, its mode and its share."""
        tried = self.challenger
        return f"challenger {tried.semver} ({short(tried.id)}) in mode {self.mode} with a share of {self.share:g}"


class LocalTarget(Record):
    """A service on this machine's loopback."""

    kind: Literal["local"] = "local"
    port: Annotated[int, Field(ge=1024, le=65535)]
    workers: Annotated[int, Field(ge=1, le=64)] = 1


class Rollout(Record):
    """How traffic moves to a new release: at once, or in growing shares with a soak after each."""

    strategy: Literal["switch", "canary"] = "switch"
    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    soak: Duration = Field(default="0s", validate_default=True)

    @model_validator(mode="after")
    def _steps_grow_to_one(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1:] != (1.0,):
            message = "rollout.steps must grow and end with 1.0"
            raise ValueError(message)
        return self


class Deployment(Record):
    """What one environment should serve for one model."""

    api_version: ApiVersion = Field(alias="apiVersion")
    kind: Literal["Deployment"]
    model: Name
    environment: Name
    release: PinnedRelease | None = Field(default=None, description="null until the first promotion")
    change: Change | None = None
    hold: Hold | None = None
    experiment: Experiment | None = None
    target: LocalTarget
    rollout: Rollout = Rollout()

    @model_validator(mode="after")
    def _ids_are_true(self) -> Self:
        pinned = [self.release, self.experiment.challenger if self.experiment else None]
        for block in filter(None, pinned):
            if block.release(self.model).id != block.id:
                message = f"release.id {block.id} is not the digest of the release's own fields"
                raise ValueError(message)
        if (self.release is None) != (self.change is None):
            message = "release and change are set together or not at all"
            raise ValueError(message)
        return self

    @property
    def declared(self) -> Release | None:
        """The release that should serve, or None before the first promotion."""
        return self.release.release(self.model) if self.release else None

    @property
    def blocked(self) -> tuple[str, ...]:
        """Ids of the releases that may not be promoted here."""
        return self.hold.blocked if self.hold else ()

    @property
    def owned(self) -> dict[str, Any]:
        """The fields that belong to the environment's owner and that no change may touch."""
        return {key: value for key, value in self.plain().items() if key not in PROMOTABLE}


def parse_deployment(text: str, *, source: str) -> Deployment:
    """Return the deployment in an environment file.

    Raises:
        InvalidFileError: naming `source`, the line and what was expected.
    """
    return parse_yaml(text, Deployment, source=source)


def edited(text: str, deployment: Deployment, *, source: str) -> str:
    """Return the environment file `text` with its promotable block replaced by that of `deployment`.

    Comments, order and every environment-owned byte of meaning survive.

    Raises:
        InvalidFileError: `text` is not a deployment, or `deployment` differs from it in an environment-owned field.
    """
    if parse_deployment(text, source=source).owned != deployment.owned:
        raise InvalidFileError(f"{source}: a change may not edit environment-owned fields")
    document = load_yaml(text, source=source)
    values = deployment.plain()
    for position, key in enumerate(PROMOTABLE):
        if key in document:
            document[key] = values[key]
        else:
            document.insert(4 + position, key, values[key])
    return dump_yaml(document)
