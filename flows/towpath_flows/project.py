"""`Project`: a model repository as the flows see it: its spec, and the owner's code below `src/`."""

import importlib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from towpath_bento.limits import MAX_NAME, wrong_with_name
from towpath_flows.spec import SPEC, ModelSpec, SliceGate, load_spec
from towpath_gitops.errors import InvalidFileError

if TYPE_CHECKING:
    import pandera.pandas as pa
    from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class Project:
    """A model repository: `root` is its top folder."""

    root: Path
    spec: ModelSpec

    @classmethod
    def open(cls, root: Path) -> Self:
        """Read `root`/model.yaml; the owner's code is imported only when it is asked for.

        Raises:
            NotFoundError: there is no model.yaml.
            InvalidFileError: it does not say what it should.
        """
        return cls(root.resolve(), load_spec(root))

    @cached_property
    def schema(self) -> "pa.DataFrameSchema":
        """The owner's pandera schema, checked to hold every column that model.yaml names.

        Raises:
            InvalidFileError: it cannot be imported, is no pandera schema, or lacks a column.
        """
        import pandera.pandas as pa  # noqa: PLC0415 (heavy: not for the command line's start)

        found = self.load_owners(self.spec.schema_, "schema")
        if isinstance(found, type) and issubclass(found, pa.DataFrameModel):
            found = found.to_schema()
        if not isinstance(found, pa.DataFrameSchema):
            raise InvalidFileError(
                f"{SPEC}: schema: {self.spec.schema_} is no pandera schema",
                why=f"It is {type(found).__name__}.",
                hint="Make it a subclass of pandera.pandas.DataFrameModel.",
            )
        self._check_names(found)
        self._check_columns(tuple(found.columns))
        return found

    @cached_property
    def sensitive(self) -> frozenset[str]:
        """The columns of which no report may show a value: `data.sensitive`, and `metadata={"sensitive": True}`."""
        columns = self.schema.columns.items()
        marked = {name for name, column in columns if (column.metadata or {}).get("sensitive")}
        return frozenset(marked | set(self.spec.data.sensitive))

    def features(self) -> "BaseEstimator | None":
        """Return a fresh, unfitted transformer from the owner's `features` function; None when there is no function.

        Raises:
            InvalidFileError: it cannot be imported or called, or what it returns cannot fit and transform.
        """
        if not isinstance(self.spec.features, str):
            return None
        build = self.load_owners(self.spec.features, "features")
        try:
            transformer: BaseEstimator = build()
        except Exception as error:
            raise InvalidFileError(
                f"{SPEC}: features: {self.spec.features}() failed", why=f"{type(error).__name__}: {error}"
            ) from error
        if not hasattr(transformer, "fit") or not hasattr(transformer, "transform"):
            raise InvalidFileError(
                f"{SPEC}: features: {self.spec.features}() returned {type(transformer).__name__}",
                hint="Return a scikit-learn transformer, such as a ColumnTransformer.",
            )
        return transformer

    def _check_names(self, schema: "pa.DataFrameSchema") -> None:
        for name, column in schema.columns.items():
            if column.regex:
                raise InvalidFileError(
                    f"{SPEC}: schema: {self.spec.schema_} names columns by a pattern, {name}",
                    why="Callers of the model must know its columns one by one.",
                    hint="Write each column out, by its own name.",
                )
            wrong = wrong_with_name(name)
            if wrong:
                raise InvalidFileError(
                    f"{SPEC}: schema: {self.spec.schema_} has a column called {str(name)[:MAX_NAME]!r}",
                    why=f"{wrong[0].upper()}{wrong[1:]}.",
                    hint="Rename the column in the data and in the schema.",
                )

    def _check_columns(self, columns: tuple[str, ...]) -> None:
        named = {"target": (self.spec.target,), "exclude": self.spec.exclude}
        named |= {"data.sensitive": self.spec.data.sensitive}
        named |= {"time": (self.spec.time,) if self.spec.time else ()}
        named |= {"entity": (self.spec.entity,) if self.spec.entity else ()}
        named |= {"train.weights": (self.spec.train.weights,) if self.spec.train.weights else ()}
        named |= {"train.monotone": tuple(self.spec.train.monotone)}
        named |= {"behaviour": self.spec.behaviour.columns}
        named |= {"gates": tuple(gate.slice for gate in self.spec.gates if isinstance(gate, SliceGate))}
        for field, wanted in named.items():
            missing = [column for column in wanted if column not in columns]
            if missing:
                raise InvalidFileError(
                    f"{SPEC}: {field}: the schema has no column {', '.join(missing)}",
                    why=f"{self.spec.schema_} has {', '.join(columns)}.",
                    hint=f"Add it to the schema, or correct `{field}` in {SPEC}.",
                )

    def load_owners(self, reference: str, field: str) -> Any:  # noqa: ANN401 (it may hold anything)
        """Return what the owner's code below src/ has under `module:attribute`; `field` of model.yaml names it.

        Raises:
            InvalidFileError: it cannot be imported.
        """
        module_name, attribute = reference.split(":")
        try:
            module = import_from(self.root / "src", module_name)
            return getattr(module, attribute)
        except (Exception, SystemExit) as error:
            raise InvalidFileError(
                f"{SPEC}: {field}: {reference} cannot be imported",
                why=f"{type(error).__name__}: {error}",
                hint=f"It is looked for below {self.root / 'src'}.",
            ) from error


def import_from(folder: Path, module_name: str) -> Any:  # noqa: ANN401 (a module holds anything)
    """Import a module of the package below `folder`, even when another project's package has the same name.

    Raises:
        ImportError: there is no such module. Whatever the module raises passes through.
    """
    top = module_name.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if loaded is not None and not Path(loaded).resolve().is_relative_to(folder.resolve()):
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return importlib.import_module(module_name)
