"""`Release`: the immutable, content-addressed unit that is promoted."""

from functools import cached_property

from pydantic import Field, PositiveInt

from towpath_gitops.records.base import Commit, Digest, Name, Record, Semver, digest_of, short


class Release(Record):
    """One registered version of a model, named by digests alone: never `latest`, never an alias."""

    model: Name
    version: PositiveInt = Field(description="version in the MLflow model registry")
    semver: Semver = Field(description="major: input schema; minor: code or parameters; patch: data only")
    artifact: Digest = Field(description="manifest digest over every file of the model")
    input_schema: Digest = Field(alias="schema", description="digest of the input signature")
    data: Digest = Field(description="digest of the training data")
    code: Commit = Field(description="commit that trained it")

    @cached_property
    def id(self) -> str:
        """The digest of the canonical JSON of all fields."""
        return digest_of(self.plain())

    @property
    def short_id(self) -> str:
        """The first twelve hex digits of the id."""
        return short(self.id)

    def __str__(self) -> str:
        """Name the release as people do: model, semantic version, registry version, short id."""
        return f"{self.model} {self.semver} (version {self.version}, {self.short_id})"
