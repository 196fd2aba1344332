"""Values become the types of the owner's schema when nothing is lost by it; what would lose is named.

pandera's own coercion turns "False" into True and 1.5 into 1 without a word (astype); data should not change that way.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "integer", "boolean", "string", "moment", "other"]
Series = Any  # pandas is not typed here

MOST_PIECES: Final = 50  # columns of a table that may lie in as many pieces
_UTC: Final = "datetime64[us, UTC]"  # the type of every moment
_TRUTHS: Final[dict[object, bool]] = {
    True: True, False: False, "true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False,
    "1": True, "0": False,
}  # fmt: skip  # 1 and 0 equal True and False


def kind_of(dtype: Any) -> Kind:  # noqa: ANN401 (pandera's data types have no common public base)
    """Return what a column of a pandera schema holds; `other` for what no model input can be made of."""
    inner = getattr(dtype, "type", dtype)
    if type(inner).__module__.startswith("pyarrow"):
        inner = pd.ArrowDtype(inner)  # which pandera has taken apart
    if isinstance(inner, pd.CategoricalDtype):
        return "string"
    tests: dict[Kind, Callable[[Any], bool]] = {
        "boolean": pd.api.types.is_bool_dtype,
        "integer": pd.api.types.is_integer_dtype,
        "number": pd.api.types.is_float_dtype,
        "moment": pd.api.types.is_datetime64_any_dtype,
        "string": _is_text,
    }
    return next((kind for kind, test in tests.items() if inner is not None and test(inner)), "other")


def coerce(values: Series, kind: Kind) -> tuple[Series, Series]:
    """Return the values in the type of `kind`, and a mask of those that cannot be without loss (missing is no loss).

    Integers and booleans with missing values become pandas' nullable types; moments become UTC. What has its type
    already is the same object.
    """
    converted, bad = _COERCIONS[kind](values)
    return converted, bad & values.notna()


def replaced(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with these columns in it.

    `DataFrame.assign` cannot, of a column called `self`. What stays shares the memory of the given table. Where so many
    columns change that the table would lie in pieces, of which pandas warns, it is copied.
    """
    if not columns:
        return frame
    if len(columns) <= MOST_PIECES and set(columns) <= set(frame):
        changed = frame.copy(deep=False)
        for name, values in columns.items():
            changed.isetitem(frame.columns.get_loc(name), values)
        return changed
    together = {name: frame[name] for name in frame} | dict(columns)
    return pd.DataFrame(together, index=frame.index, copy=len(together) > MOST_PIECES)


def _is_text(dtype: Any) -> bool:  # noqa: ANN401 (as above)
    if isinstance(dtype, pd.ArrowDtype):
        return bool(pd.api.types.is_string_dtype(dtype))
    return isinstance(dtype, pd.StringDtype) or dtype is str or dtype == np.dtype(object)


def _number(values: Series) -> tuple[Series, Series]:
    if values.dtype == np.dtype("float64"):
        return values, ~np.isfinite(values)
    numbers = pd.to_numeric(_plain(values), errors="coerce").astype("float64")
    return numbers, ~np.isfinite(numbers)


def _integer(values: Series) -> tuple[Series, Series]:
    if pd.api.types.is_integer_dtype(values.dtype):
        return values, pd.Series(False, index=values.index)
    numbers, bad = _number(values)
    bad |= numbers != np.floor(numbers)
    whole = numbers.where(~bad)
    return whole.astype("Int64" if whole.isna().any() else "int64"), bad


def _boolean(values: Series) -> tuple[Series, Series]:
    if values.dtype == np.dtype(bool):
        return values, pd.Series(False, index=values.index)
    truths = _plain(values).map(lambda value: _TRUTHS.get(value) if isinstance(value, str | int | float) else None)
    missing = truths.isna()
    return truths.astype("boolean" if missing.any() else "bool"), missing


def _string(values: Series) -> tuple[Series, Series]:
    if isinstance(values.dtype, pd.StringDtype):
        return (values if values.dtype == "str" else values.astype("str")), values.isna()
    texts = _plain(values)
    bad = ~texts.map(lambda value: isinstance(value, str)).astype(bool)
    return texts.where(~bad, None).astype("str"), bad


def _moment(values: Series) -> tuple[Series, Series]:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values, pd.Series(True, index=values.index)
    if isinstance(values.dtype, pd.DatetimeTZDtype) and str(values.dtype) == _UTC:
        return values, values.isna()
    moments = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    return moments.dt.as_unit("us"), moments.isna()


def _other(values: Series) -> tuple[Series, Series]:
    return values, pd.Series(False, index=values.index)


def _plain(values: Series) -> Series:
    """Return categories and pandas' nullable values as plain objects with None for missing; numpy's types stay."""
    if isinstance(values.dtype, np.dtype) and values.dtype != np.dtype(object):
        return values
    return values.astype(object).where(values.notna(), None)


_COERCIONS: Final[dict[Kind, Callable[[Series], tuple[Series, Series]]]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
    "moment": _moment,
    "other": _other,
}
