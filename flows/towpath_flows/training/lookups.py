"""What a service looks up online instead of being sent it, as the Feast repository of the rows describes it."""

from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter

from towpath_flows.data.sources import feast
from towpath_flows.data_spec import FeastSource
from towpath_flows.online_spec import OnlineSpec
from towpath_flows.project import Project
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.files import scratch
from towpath_gitops.layout import state
from towpath_gitops.records.base import Record
from towpath_gitops.records.online import Online, OnlineKey, OnlineView
from towpath_gitops.records.signature import Column, ColumnType, Signature

# Feast's types → the types of inputs that their values are, as the feature server writes them in JSON.
_NUMBERS: Final[tuple[ColumnType, ...]] = ("number", "integer")
_VALUES: Final[dict[str, tuple[ColumnType, ...]]] = {
    "Int32": _NUMBERS,
    "Int64": _NUMBERS,
    "Float32": _NUMBERS,
    "Float64": _NUMBERS,
    "Bool": ("boolean",),
    "String": ("string",),
}
_HINT: Final = "Remove serve.online from model.yaml, and let callers send the features."


class Described(Record):
    """A feature view as the repository tells of it: features and keys with Feast's names of their types."""

    view: str
    features: dict[str, str]
    keys: dict[str, str]
    ttl_s: float | None


_VIEWS: Final = TypeAdapter(tuple[Described, ...])


def with_lookups(project: Project, signature: Signature) -> Signature:
    """Return the signature with what the service looks up; as it is where model.yaml has no `serve.online`.

    Raises:
        InvalidFileError: as `online_of`.
        NotFoundError, MissingDependencyError, DataContractError, UnavailableError: as `sources.feast.read`.
    """
    spec, source = project.spec.serve.online, project.spec.data.train
    if spec is None or not isinstance(source, FeastSource):
        return signature
    with scratch(state(project.root, "incoming"), ".feast-") as folder:
        feast.ask(source, project.root, {"into": str(folder / "views.json")}, folder)
        views = _VIEWS.validate_json((folder / "views.json").read_bytes())
    return signature.model_copy(update={"online": online_of(views, spec, signature)})


def online_of(views: Sequence[Described], spec: OnlineSpec, signature: Signature) -> Online:
    """Return what the service looks up of `views`: those of their features that are inputs.

    Raises:
        InvalidFileError: a feature has a type that no request could have, may not be missing though it may be unknown,
            or is no input of the model; or a view has no keys, or keys that are neither text nor whole numbers.
    """
    inputs = {column.name: column for column in signature.inputs}
    looked_up = tuple(_view(each, spec, inputs) for each in views if set(each.features) & set(inputs))
    if not looked_up:
        why = "None of the features that Feast adds to the rows is an input of the model."
        raise InvalidFileError("serve.online finds nothing to look up", why=why, hint=_HINT)
    return Online(
        views=tuple(sorted(looked_up, key=lambda view: view.view)),
        unknown=spec.unknown,
        late=spec.late,
        timeout_s=spec.timeout.total_seconds(),
        url=spec.url,
    )


def _view(described: Described, spec: OnlineSpec, inputs: dict[str, Column]) -> OnlineView:
    columns = tuple(sorted(name for name in described.features if name in inputs))
    for name in columns:
        _require(name, described, spec, inputs[name])
    keys = tuple(_key(name, kind, described) for name, kind in sorted(described.keys.items()))
    if not keys:
        raise InvalidFileError(
            f"Features of {described.view} cannot be looked up",
            why="The view has no entity, and so no key.",
            hint=_HINT,
        )
    return OnlineView(view=described.view, columns=columns, keys=keys, ttl_s=described.ttl_s or None)


def _require(name: str, described: Described, spec: OnlineSpec, column: Column) -> None:
    kind = described.features[name]
    if column.type not in _VALUES.get(kind, ()):
        raise InvalidFileError(
            f"The feature {described.view}:{name} cannot be looked up",
            why=f"It is {kind} in Feast, and {column.type} in the schema.",
            hint="Give it the same type in both, so that the online store answers what the model was trained on.",
        )
    if not column.nullable and "missing" in (spec.unknown, spec.late):
        raise InvalidFileError(
            f"The feature {described.view}:{name} may be unknown while the service answers",
            why="The schema does not let it be missing.",
            hint="Say nullable=True in the schema, or `unknown: refuse` and `late: refuse` under serve.online.",
        )


def _key(name: str, kind: str, described: Described) -> OnlineKey:
    if kind == "String":
        return OnlineKey(name=name, type="string")
    if kind in ("Int32", "Int64"):
        return OnlineKey(name=name, type="integer")
    raise InvalidFileError(
        f"Features of {described.view} cannot be looked up", why=f"Its key {name} is {kind} in Feast.", hint=_HINT
    )
