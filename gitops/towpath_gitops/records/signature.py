"""`Signature`: what a model takes and answers, as the service, the gates and rollback need to know it."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from towpath_gitops.records.base import ApiVersion, Digest, Record, digest_of
from towpath_gitops.records.online import Online

Task = Literal["binary", "multiclass", "regression"]
Engine = Literal["onnx", "native"]
Matrix = tuple[tuple[float, ...], ...]
ColumnType = Literal["number", "integer", "boolean", "string"]


def _absent(value: object) -> bool:
    """Leave out of files what a record does not say, so that records made before a field existed keep their bytes."""
    return value is None


class Seen(Record):
    """What training saw of one column: the range of its numbers, or its texts where they are few."""

    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None


class Column(Record):
    """One input column as callers send it in JSON; `null` stands for missing."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    type: ColumnType
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = Field(default=None, description="a closed list; null when any string may come")
    example: float | int | bool | str | None = None
    seen: Seen | None = Field(
        default=None,
        exclude_if=_absent,
        description="what training saw; null when it is unknown, sensitive, or more texts than are worth a list",
    )


class Signature(Record):
    """`signature.json` of a model's artifact."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    task: Task
    target: str
    classes: tuple[str, ...] | None = Field(
        default=None, description="labels in the order of the probabilities; null for regression"
    )
    threshold: float | None = Field(
        default=None, description="binary: probability of the second class from which it is decided"
    )
    costs: Matrix | None = Field(
        default=None,
        exclude_if=_absent,
        description="multiclass: what deciding for each class (column) costs where each (row) is true, in the order of "
        "`classes`; the least expected cost is decided for. null: the greatest probability is",
    )
    entity: str | None = Field(
        default=None, description="request key that callers may send to be assigned to a lane; not an input"
    )
    inputs: Annotated[tuple[Column, ...], Field(min_length=1)]
    engine: Engine = "onnx"
    code: Digest | None = Field(
        default=None,
        exclude_if=_absent,
        description="manifest digest of code/, the owner's modules that the native engine imports; null: none",
    )
    sensitive: tuple[str, ...] | None = Field(
        default=None,
        exclude_if=_absent,
        description="columns whose values are never written down; null when nobody said, so that any may be one",
    )
    deciles: Annotated[tuple[float, ...], Field(min_length=9, max_length=9)] | None = Field(
        default=None,
        exclude_if=_absent,
        description="limits between tenths of the answers to rows that were not learned from: probability of the "
        "second class, or value; null for multiclass",
    )
    online: Online | None = Field(
        default=None,
        exclude_if=_absent,
        description="inputs that the service looks up for rows without them; null when callers send them all",
    )

    @model_validator(mode="after")
    def _columns_are_unique(self) -> Self:
        names = [column.name for column in self.inputs]
        if len(names) != len(set(names)):
            message = "input columns must have different names"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _costs_fit_the_classes(self) -> Self:
        sizes = {len(row) for row in self.costs or ()} | ({len(self.costs)} if self.costs else set())
        if self.costs is not None and (self.task != "multiclass" or sizes != {len(self.classes or ())}):
            message = "costs are a square matrix over the classes of a multiclass model"
            raise ValueError(message)
        return self

    @property
    def digest(self) -> str:
        """The digest of what callers depend on: task, target, classes, and each input's name, type and limits."""
        contract = self.model_dump(mode="json", include={"task", "target", "classes"})
        columns = [column.model_dump(mode="json", exclude={"example", "seen"}) for column in self.inputs]
        if self.online is not None:  # only where there is one: other signatures keep the digest that they had
            views = self.online.plain()["views"]
            contract["online"] = [{"columns": view["columns"], "keys": view["keys"]} for view in views]
        return digest_of(contract | {"inputs": columns})

    def breaks(self, callers: Self) -> tuple[str, ...]:
        """Return why requests made for the signature `callers` would fail with this one; empty when none would."""
        if (self.task, self.target, self.classes) != (callers.task, callers.target, callers.classes):
            return (f"it answers {self.task} “{self.target}”, not {callers.task} “{callers.target}”",)
        sent = callers.sent
        reasons = [
            _column_breaks(column, sent.get(column.name))
            for column in self.inputs
            if column.name in sent or column.name not in self.looked_up
        ]
        return tuple(reason for reason in (*reasons, *self._unlooked(sent)) if reason)

    @property
    def looked_up(self) -> frozenset[str]:
        """The inputs that callers may leave out, for the service looks them up."""
        return frozenset() if self.online is None else self.online.columns

    @property
    def sent(self) -> dict[str, Column]:
        """The columns that callers send, by name: the inputs that nobody looks up, and the keys of the others."""
        keys = {} if self.online is None else self.online.keys
        own = {column.name: column for column in self.inputs if column.name not in self.looked_up}
        return {name: Column(name=name, type=key.type) for name, key in keys.items()} | own

    def _unlooked(self, sent: dict[str, Column]) -> Iterator[str]:
        """Say which features are neither sent nor can be looked up, for want of a key."""
        for view in self.online.views if self.online is not None else ():
            lacking = [key.name for key in view.keys if key.name not in sent]
            if lacking and any(column not in sent for column in view.columns):
                yield f"it looks up {view.view} by “{lacking[0]}”, which callers do not send"


def _column_breaks(needed: Column, sent: Column | None) -> str | None:
    if sent is None:
        return None if needed.nullable else f"it needs the column “{needed.name}”, which callers do not send"
    if needed.type != sent.type and (needed.type, sent.type) != ("number", "integer"):
        return f"“{needed.name}” must be {needed.type}, callers send {sent.type}"
    if sent.nullable and not needed.nullable:
        return f"“{needed.name}” may not be missing, callers may leave it out"
    if needed.categories is not None and (
        sent.categories is None or not set(sent.categories) <= set(needed.categories)
    ):
        return f"“{needed.name}” takes fewer categories than callers send"
    return None
