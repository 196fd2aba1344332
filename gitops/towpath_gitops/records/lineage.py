"""`Lineage`: what a release was made from, down to the bytes that were read."""

from typing import Annotated

from pydantic import AwareDatetime, Field, NonNegativeInt

from towpath_gitops.records.base import ApiVersion, Commit, Digest, Line, Record

MOST_INPUTS = 10_000

Address = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00-\x1f\x7f]+$")]


class LineageInput(Record):
    """One file, object or query that was read."""

    uri: Address = Field(description="path from the repository's root, or address without a secret")
    digest: Digest = Field(description="digest of its bytes; of a query, of its words")
    size_bytes: NonNegativeInt | None = Field(default=None, description="null where it is no file")


class Lineage(Record):
    """What went into one release. It is kept beside the artifact, and names the release by its id."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    release: Digest
    source: Line = Field(description="what people call the source")
    data: Digest = Field(description="digest of the rows that were used, as in the release")
    rows: NonNegativeInt
    since: AwareDatetime | None = Field(default=None, description="first moment of the window")
    until: AwareDatetime | None = Field(default=None, description="moment before which the window ends")
    inputs: Annotated[tuple[LineageInput, ...], Field(max_length=MOST_INPUTS)] = ()
    code: Commit = Field(description="commit that trained it, as in the release")
    tool: Line
    created: AwareDatetime
