"""The part of `model.yaml` about features that the service looks up while it answers."""

from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from towpath_gitops.records.base import Duration, Record
from towpath_gitops.records.online import Fallback

_LONGEST = timedelta(seconds=10)


class OnlineSpec(Record):
    """How the service asks the online store for features that a request leaves out."""

    unknown: Fallback = Field(
        default="missing",
        description="keys of which nothing is known, or nothing younger than the view's ttl: values are missing, or "
        "the request is refused (422)",
    )
    timeout: Annotated[Duration, Field(gt=timedelta(0), le=_LONGEST)] = Field(
        default="100ms", validate_default=True, description="how long the store may take for all keys of a view"
    )
    late: Fallback = Field(
        default="refuse",
        description="the store does not answer in time, or not at all: values are missing, or the request is refused "
        "(503)",
    )
    url: str | None = Field(
        default=None,
        description="address of Feast's feature server, without a password; TOWPATH_FEAST_URL names another one; "
        "default: http://127.0.0.1:6566",
    )

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.url is None:
            return self
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.password is not None:
            message = "url: write the feature server's address as http://host:6566, without a password"
            raise ValueError(message)
        return self
