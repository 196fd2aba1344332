"""`ImageRecord`: the container image that carries a release, kept beside the release and never part of its id."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from towpath_gitops.records.base import ApiVersion, Digest, Image, Line, Record, short

# Where a registry keeps the images of one model: host, port and path, without tag or digest.
_REPOSITORY = r"^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)+$"
RepositoryName = Annotated[str, StringConstraints(max_length=200, pattern=_REPOSITORY)]


class BuiltImage(Record):
    """One image of a release: the same model may be packaged again on a patched base, which makes another record."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    release: Digest = Field(description="the release that it carries")
    artifact: Digest = Field(description="the release's artifact, as in the release")
    digest: Digest = Field(description="of its manifest: the same in every registry")
    base: Line = Field(description="the image that it was built on")
    base_digest: Digest | None = Field(default=None, description="null where the builder does not tell")
    sbom: Digest = Field(description="digest of the CycloneDX document inside it")
    packages: PositiveInt = Field(description="Python packages in it, each with version, licence and purl")
    unvouched: tuple[Line, ...] = Field(
        default=(), description="packages of which no lock file knew the hash before the image was built"
    )
    size_bytes: NonNegativeInt = Field(description="of its compressed layers and its configuration")
    user: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(:[0-9]{1,9})?$")] = Field(
        description="numbers of the user and group that it runs as"
    )
    tool: Line = Field(description="what built it")
    created: AwareDatetime

    def __str__(self) -> str:
        """Name the image by its digest's beginning."""
        return f"image {short(self.digest)} on {self.base}"


class ImageRecord(BuiltImage):
    """An image that a registry holds; kept beside its release in the model registry."""

    image: Image = Field(description="where it was pushed first, by its digest")

    @model_validator(mode="after")
    def _is_pinned_by_its_own_digest(self) -> Self:
        if digest_in(self.image) != self.digest:
            message = "image is not pinned by the record's own digest"
            raise ValueError(message)
        return self


def digest_in(image: str) -> str:
    """Return the digest by which an image is pinned."""
    return image.rpartition("@")[2]


def newest(records: Sequence[ImageRecord]) -> str | None:
    """Return the image of the first of `records`, which are sorted so; None where there is none."""
    return records[0].image if records else None


def carries(records: Sequence[ImageRecord], image: str) -> ImageRecord | None:
    """Return the record of an image, whichever registry it is named in; None when none of `records` is of it."""
    return next((record for record in records if record.digest == digest_in(image)), None)
