"""`Online`: which inputs a service looks up in an online feature store, by which keys, and what becomes of the rest."""

from typing import Annotated, Literal

from pydantic import Field

from towpath_gitops.records.base import Record

Fallback = Literal["missing", "refuse"]


class OnlineKey(Record):
    """A field of a row that names whose features are looked up; an input of the model or not."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["string", "integer"]


class OnlineView(Record):
    """Features that share their keys and their age."""

    view: Annotated[str, Field(min_length=1, max_length=200)]
    columns: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="inputs of the model, called as the view's features are"
    )
    keys: Annotated[tuple[OnlineKey, ...], Field(min_length=1)]
    ttl_s: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="seconds after which a value counts as missing; null: never"
    )


class Online(Record):
    """What a service looks up for rows that do not bring it themselves."""

    views: Annotated[tuple[OnlineView, ...], Field(min_length=1)]
    unknown: Fallback = Field(default="missing", description="what a key is answered of which nothing is known")
    late: Fallback = Field(default="refuse", description="what is done when the store does not answer")
    timeout_s: Annotated[float, Field(gt=0)] = 0.1
    url: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """The inputs that callers may leave out."""
        return frozenset(column for view in self.views for column in view.columns)

    @property
    def keys(self) -> dict[str, OnlineKey]:
        """The keys of all views by their names."""
        return {key.name: key for view in self.views for key in view.keys}
