"""`schema.py` of a model repository, as an owner would write it: one line for each column, and why."""

from collections.abc import Iterator, Sequence
from typing import Final

from towpath_flows.inference.columns import Column
from towpath_flows.inference.naming import (
    INDENT,
    WIDTH,
    attributes,
    comment,
    one_line,
    python_number,
    python_text,
    width,
)
from towpath_flows.inference.roles import Roles

_TYPES: Final = {
    ("number", False): "float",
    ("number", True): "float",
    ("integer", False): "int",
    ("integer", True): "pd.Int64Dtype",
    ("boolean", False): "bool",
    ("boolean", True): "pd.BooleanDtype",
    ("string", False): "str",
    ("string", True): "str",
    ("moment", False): "pd.DatetimeTZDtype",
    ("moment", True): "pd.DatetimeTZDtype",
}
_HEAD: Final = '''\
"""What one row is: the contract between the data and the model. Rows that break it are refused before training.

`towpath infer` wrote it from {rows:,} rows of this table; from here on it is yours:
{source}

Types and missing values are as they were found. A range reaches beyond what was found by twice its spread, to catch a
wrong unit or a slipped point; a list (`isin`) holds every category that was found. Callers whose values are outside are
refused: widen what is too narrow, and leave out `isin` where new categories may come.
"""
'''
_CONFIG: Final = '''
    class Config:
        """Columns that are not named here are dropped; types are converted where nothing is lost."""

        strict = "filter"
        coerce = True
'''


def schema_text(name: str, source: str, roles: Roles) -> str:
    """Return the module with the pandera model `name`, formatted and linted as the repository's ruff asks."""
    kept = [column for column in roles.columns if not column.lost]
    lines = [_HEAD.format(rows=roles.target.rows, source=_shown(source)), *_imports(kept), "", ""]
    lines += [f"class {name}(pa.DataFrameModel):", f'{INDENT}"""One row of the table."""', ""]
    named = attributes(column.name for column in kept)
    for column in kept:
        lines += [*_remarks(column, roles), *_field(column, named[column.name], roles)]
    for column in roles.columns:
        if column.lost:
            lines += comment(f"Left out: {one_line(column.name)}. {column.lost[0].upper()}{column.lost[1:]}.", INDENT)
    return "\n".join(lines) + "\n" + _CONFIG


def _shown(source: str) -> str:
    """Return a path as it can stand in a docstring and a line."""
    plain = one_line(source, 100).replace("\\", "/").replace('"', "'")
    return plain if plain.isascii() else "see model.yaml"


def _imports(columns: Sequence[Column]) -> list[str]:
    needs_pandas = any(_TYPES[column.kind, column.nullable].startswith("pd.") for column in columns)
    first = ["import pandas as pd"] if needs_pandas else []
    return [*first, "import pandera.pandas as pa", "from pandera.typing import Series"]


def _remarks(column: Column, roles: Roles) -> Iterator[str]:
    if column.name == roles.target.name:
        words = "The target" + (": rows without it are not learned from." if column.nullable else ".")
    elif column.name == roles.time:
        words = "The time: rows are split and watched in its order."
    elif column.name == roles.entity:
        words = "Names the row; no feature."
    elif column.aside:
        words = f"No feature (`exclude` in model.yaml): {column.aside}."
    elif column.remarks:
        words = f"{column.remarks[0][0].upper()}{column.remarks[0][1:]}."
    else:
        return
    yield from comment(words, INDENT)


def _field(column: Column, attribute: str, roles: Roles) -> Iterator[str]:
    start = f"{INDENT}{attribute}: Series[{_TYPES[column.kind, column.nullable]}]"
    arguments = list(_arguments(column, attribute, roles))
    if not arguments:
        yield start
        return
    line = f"{start} = pa.Field({', '.join(arguments)})"
    if width(line) <= WIDTH:
        yield line
        return
    yield f"{start} = pa.Field("
    for argument in arguments:
        yield from _argument(argument, column)
    yield f"{INDENT})"


def _argument(text: str, column: Column) -> Iterator[str]:
    """Yield an argument on a line of its own, a long list with a line for each category."""
    deep = INDENT * 2
    if text.startswith("isin=") and width(f"{deep}{text},") > WIDTH:
        yield f"{deep}isin=["
        yield from (f"{deep}{INDENT}{python_text(each)}," for each in column.categories or ())
        yield f"{deep}],"
        return
    long = width(f"{deep}{text},") > WIDTH and " " in text
    yield f"{deep}{text}," + ("  # noqa: E501" if long else "")


def _arguments(column: Column, attribute: str, roles: Roles) -> Iterator[str]:
    if attribute != column.name:
        yield f"alias={python_text(column.name)}"
    if column.nullable:
        yield "nullable=True"
    if column.name == roles.entity:
        yield "unique=True"
    if column.kind == "moment":
        yield 'dtype_kwargs={"unit": "us", "tz": "UTC"}'
    if column.aside or column.name == roles.entity:
        return
    low, high = column.limits if column.name != roles.target.name else (None, None)
    for key, limit in (("ge", low), ("le", high)):
        if limit is not None:
            yield f"{key}={python_number(limit)}"
    if column.categories:
        yield f"isin=[{', '.join(map(python_text, column.categories))}]"
