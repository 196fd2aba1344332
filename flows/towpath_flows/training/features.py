"""The columns that are served, typed as they are served; and the transformer in front of the trees."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.deciding import DEFAULT_THRESHOLD
from towpath_flows.data.coercion import MOST_PIECES, kind_of
from towpath_flows.data.quality import feature_names
from towpath_flows.data.target import Target
from towpath_flows.evidence_spec import ThresholdSpec
from towpath_flows.project import Project
from towpath_flows.spec import ModelSpec
from towpath_gitops.errors import DataContractError, InvalidFileError
from towpath_gitops.records.signature import Column, ColumnType, Matrix, Signature

if TYPE_CHECKING:
    import pandera.pandas as pa
    from sklearn.base import BaseEstimator

ONE_HOT: Final = 40  # strings with at most so many values get a column each; more would slow the trees down

_LOWEST: Final = {"greater_than_or_equal_to": "min_value", "greater_than": "min_value", "in_range": "min_value"}
_HIGHEST: Final = {"less_than_or_equal_to": "max_value", "less_than": "max_value", "in_range": "max_value"}


@dataclass(frozen=True)
class Features:
    """The inputs and the target of a model, as its signature tells callers.

    Made from a project before training, or from the signature of a registered model to ask it about new rows.
    """

    signature: Signature

    @classmethod
    def of(cls, project: Project, frame: pd.DataFrame, target: Target) -> Self:
        """Derive the inputs from the owner's schema; `frame` gives the examples, none of sensitive columns.

        Raises:
            InvalidFileError: a column can be no input: a moment, or a type that is none of number, truth and text; or
                model.yaml prices other classes than the target has.
        """
        spec, schema = project.spec, project.schema
        shown = {name: frame[name].iloc[:0] if name in project.sensitive else frame[name] for name in frame}
        inputs = tuple(_column(schema.columns[name], name, shown[name]) for name in feature_names(project))
        return cls(
            Signature(
                task=spec.task,
                target=spec.target,
                classes=target.classes,
                threshold=_threshold(spec) if spec.task == "binary" else None,
                costs=_costs(spec, target.classes),
                entity=spec.entity,
                inputs=inputs,
                sensitive=tuple(sorted(project.sensitive)),
            )
        )

    @property
    def names(self) -> list[str]:
        """The input columns in order."""
        return [column.name for column in self.signature.inputs]

    @property
    def target(self) -> Target:
        """How the target becomes numbers."""
        return Target(self.signature.target, self.signature.task, self.signature.classes)

    def x(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the inputs of validated rows in the types that are served: float32 with NaN, or str with "".

        A column that `frame` lacks comes out empty when the signature lets it be missing.

        Raises:
            DataContractError: `frame` lacks a column that may not be missing, or holds text where the model takes
                numbers, or the other way round.
        """
        lacking = [column.name for column in self.signature.inputs if column.name not in frame and not column.nullable]
        if lacking:
            raise DataContractError(
                f"The rows lack {', '.join(lacking)}", why="The model was trained with these columns and needs them."
            )
        columns = {
            column.name: _served(frame[column.name], column)
            if column.name in frame
            else _empty(column.type, len(frame))
            for column in self.signature.inputs
        }
        rows = pd.DataFrame(columns, index=frame.index, copy=len(columns) > MOST_PIECES)
        return rows.reset_index(drop=True)

    def y(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Return the target of shape (n,): class codes (int64), or values (float64) for regression.

        Raises:
            DataContractError: a value is missing or of no class that the model knows.
        """
        return self.target.encode(frame[self.signature.target])

    def prepare(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[Any]]:
        """Return `x(frame)` and `y(frame)`."""
        return self.x(frame), self.y(frame)


def _threshold(spec: ModelSpec) -> float:
    """Return what model.yaml states; one that is to be chosen is put in once there is a model to choose it by."""
    return spec.threshold if isinstance(spec.threshold, float) else DEFAULT_THRESHOLD


def _costs(spec: ModelSpec, classes: tuple[str, ...] | None) -> Matrix | None:
    if not isinstance(spec.threshold, ThresholdSpec) or spec.threshold.costs is None:
        return None
    return spec.threshold.matrix(classes or ())


def engine_columns(x: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return prepared rows as an engine takes them: column → array of shape (n, 1)."""
    return {str(name): x[name].to_numpy().reshape(-1, 1) for name in x.columns}


def default_transformer(features: Features, x: pd.DataFrame) -> "BaseEstimator":
    """Return the unfitted transformer derived from the schema and the training rows `x`.

    Numbers pass as they are: both boosters have a branch for missing ones. Strings with a closed list or with at most
    40 values in `x` get a column for each value, none for unseen ones. Other strings get a number in the order of the
    alphabet, and -1 when unseen. Each of these three has an exact twin in ONNX.
    """
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 (heavy)

    return ColumnTransformer(default_blocks(features, x, features.names), sparse_threshold=0)


def default_blocks(features: Features, x: pd.DataFrame, names: list[str]) -> list[tuple[str, Any, list[str]]]:
    """Return the parts of `default_transformer` for the inputs `names`."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder  # noqa: PLC0415 (heavy)

    inputs = [column for column in features.signature.inputs if column.name in names]
    strings = [column.name for column in inputs if column.type == "string"]
    few = [name for name in strings if x[name].nunique() <= ONE_HOT]
    blocks = [
        ("numbers", "passthrough", [column.name for column in inputs if column.type != "string"]),
        ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32), few),
        (
            "codes",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32),
            [name for name in strings if name not in few],
        ),
    ]
    return [block for block in blocks if block[2]]


def _served(values: Any, column: Column) -> Any:  # noqa: ANN401 (pandas is not typed here)
    if column.type == "string":
        texts = values.astype(object).where(values.notna(), "")
        if len(texts) and pd.api.types.infer_dtype(texts, skipna=False) != "string":
            raise _of_another_type(column, values)
        return texts
    try:
        return values.astype("float32") if values.dtype != object else pd.to_numeric(values).astype("float32")
    except (ValueError, TypeError) as error:
        raise _of_another_type(column, values) from error


def _of_another_type(column: Column, values: Any) -> DataContractError:  # noqa: ANN401 (as above)
    return DataContractError(
        f"The model takes {column.name} as {column.type}, the rows hold {values.dtype}",
        why="It was trained with another schema.",
        hint="Train again with the schema as it is now.",
    )


def _empty(kind: ColumnType, rows: int) -> NDArray[Any]:
    return np.full(rows, "", dtype=object) if kind == "string" else np.full(rows, np.nan, dtype=np.float32)


def _column(column: "pa.Column", name: str, values: Any) -> Column:  # noqa: ANN401 (as above)
    kind = kind_of(column.dtype)
    if kind in ("moment", "other"):
        raise InvalidFileError(
            f"The schema's column {name} ({column.dtype}) cannot be an input of a model",
            why="Callers send numbers, truths and text.",
            hint=f"Derive such columns from {name} in the data, or add it to `exclude` in model.yaml.",
        )
    checks = {check.name: check.statistics or {} for check in column.checks}
    categories = checks.get("isin", {}).get("allowed_values") if kind == "string" else None
    return Column(
        name=name,
        type=kind,
        nullable=bool(column.nullable or not column.required),
        minimum=None if kind == "string" else _limit(checks, _LOWEST, kind),
        maximum=None if kind == "string" else _limit(checks, _HIGHEST, kind),
        categories=tuple(sorted(map(str, categories))) if categories else None,
        example=_example(values),
    )


def _limit(checks: dict[str, dict[str, Any]], names: dict[str, str], kind: str) -> float | None:
    """Return the first limit that a check states; an open one of whole numbers is told as the next, of others as is."""
    for name, key in names.items():
        if key in checks.get(name, {}):
            limit = float(checks[name][key])
            if kind != "integer" or not name.endswith("_than") or not math.isfinite(limit):
                return limit
            return float(math.floor(limit) + 1 if key == "min_value" else math.ceil(limit) - 1)
    return None


def _example(values: Any) -> Any:  # noqa: ANN401 (as above; a number, a truth or text)
    """Return the middle one of the values in order."""
    known = values.dropna()
    if known.empty:
        return None
    middle = len(known) // 2
    if isinstance(known.dtype, np.dtype) and known.dtype.kind in "biuf":
        value: Any = np.partition(known.to_numpy(), middle)[middle]
    else:
        counts = known.value_counts(sort=False).sort_index()
        value = counts.index[int(np.searchsorted(np.cumsum(counts.to_numpy()), middle, side="right"))]
    return value.item() if isinstance(value, np.generic) else value
