"""`Policy`: the environments in order, and what each demands before a release may enter."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from towpath_gitops.records.base import ApiVersion, Duration, Name, Record
from towpath_gitops.records.evidence import Kind


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


class RollbackLane(Record):
    """The way back: shorter than the way forward."""

    approvals: Annotated[int, Field(ge=0, le=10)] = 1


class Policy(Record):
    """`gitops/policy.yaml`."""

    api_version: ApiVersion = Field(alias="apiVersion")
    kind: Literal["Policy"]
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)] = Field(description="in order of promotion")
    rollback: RollbackLane = RollbackLane()

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
