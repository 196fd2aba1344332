"""The owner's schema against the data: types first, then pandera's rules, and one report that a person can read."""

import copy
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from towpath_flows.data.coercion import Kind, coerce, kind_of, replaced
from towpath_flows.data.sources.base import Table
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError
from towpath_gitops.promotion.markdown import code, table
from towpath_gitops.records.evidence import Finding, Verdict

if TYPE_CHECKING:
    import pandera.pandas as pa

_EXAMPLES: Final = 3
_ROW: Final = re.compile(r"row \d+")  # the part of an example that tells no value
_ABSENT: Final = "is a column of the data"
_UNKNOWN: Final = "has no columns but the schema's"
_OF_NAMES: Final = {_ABSENT, _UNKNOWN}  # rules whose examples are names of columns
_EXPECTED: Final[dict[Kind, str]] = {
    "number": "is a finite number",
    "integer": "is a whole number",
    "boolean": "is true or false",
    "string": "is text",
    "moment": "is a moment (ISO 8601)",
}
_WORDS: Final = (
    (r"not_nullable", "is not missing"),
    (r"field_uniqueness", "occurs once"),
    (r"column_in_schema", _UNKNOWN),
    (r"greater_than_or_equal_to\((.*)\)", r"≥ \1"),
    (r"less_than_or_equal_to\((.*)\)", r"≤ \1"),
    (r"greater_than\((.*)\)", r"> \1"),
    (r"less_than\((.*)\)", r"< \1"),
    (r"isin\(\[(.*)\]\)", r"is one of \1"),
    (r"in_range\((.*), (.*)\)", r"between \1 and \2"),
)


@dataclass(frozen=True)
class Problem:
    """One rule of one column that rows break; `column` is "" for rules over whole rows."""

    column: str
    rule: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        shown = f": {', '.join(self.examples)}" if self.examples else ""
        return f"{self.column or 'the table'}: {self.rule} fails {self.count} times{shown}"


@dataclass(frozen=True)
class ContractReport:
    """What the schema says about `rows` rows of `source`."""

    source: str
    rows: int
    problems: tuple[Problem, ...]

    @property
    def text(self) -> str:
        """One line for each problem."""
        return "\n".join(f"  {problem}" for problem in self.problems) or f"  {self.rows:,} rows fit the schema"

    @property
    def markdown(self) -> str:
        """A table for people, as an artifact or a comment."""
        if not self.problems:
            return f"{self.rows:,} rows of {code(self.source)} fit the schema.\n"
        head = f"{self.rows:,} rows of {code(self.source)} were read; {len(self.problems)} rules are broken."
        rows = [
            (each.column or "(rows)", each.rule, f"{each.count:,}", ", ".join(each.examples)) for each in self.problems
        ]
        return f"{head}\n\n{table(('column', 'rule', 'rows that break it', 'for example'), rows, right={2})}\n"

    def require(self, schema: str) -> None:
        """Pass when no rule of the schema, which `schema` names, is broken.

        Raises:
            DataContractError: with the whole report.
        """
        if self.problems:
            raise DataContractError(
                f"{self.source} breaks {len(self.problems)} rules of the schema {schema}:",
                why=self.text,
                hint="Rows are counted from 0. Correct the data, or the schema if it asks too much.",
            )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The report as findings of `data` evidence."""
        if not self.problems:
            message = f"{self.rows:,} rows fit the schema"
            return (Finding(gate="schema", verdict=Verdict.PASS, message=message, measured=0, limit=0),)
        return tuple(
            Finding(gate="schema", verdict=Verdict.FAIL, message=_line(str(problem)), measured=problem.count, limit=0)
            for problem in self.problems
        )


@dataclass(frozen=True)
class Validated:
    """Rows in the owner's types: the schema's columns in its order; moments in UTC. `until` ends their window."""

    frame: pd.DataFrame
    report: ContractReport
    until: datetime | None = None


def validate(project: Project, rows: Table) -> Validated:
    """Check every row of a table against the owner's schema; columns that the schema does not name are left out.

    Columns that may be absent (`Optional[...]` in the schema) and are, come back empty. Of sensitive columns the report
    tells the rows, never a value.

    Raises:
        DataContractError: with the whole report: every broken rule, how often, and examples.
    """
    validated = examine(project, rows)
    validated.report.require(project.spec.schema_)
    return validated


def examine(project: Project, rows: Table) -> Validated:
    """Do the same as `validate`, and return the problems instead of raising."""
    schema = project.schema
    frame, problems = _typed(schema, rows)
    wrong = {problem.column for problem in problems}
    rest = _rules_only(schema, wrong)
    problems += _broken_rules(rest, _as_owner_sees(schema, frame.drop(columns=list(wrong & set(frame)))))
    nothing = pd.Series(None, index=frame.index, dtype=object)
    absent = [name for name in schema.columns if name not in frame and name not in wrong]
    if absent:
        frame = replaced(frame, {name: coerce(nothing, kind_of(schema.columns[name].dtype))[0] for name in absent})
    names = [name for name in schema.columns if name in frame]
    kept = frame if names == list(frame) else frame[names]
    shown = tuple(_discreet(problem, project.sensitive) for problem in problems)
    return Validated(kept, ContractReport(rows.source, len(frame), shown), rows.window[1])


def _discreet(problem: Problem, sensitive: frozenset[str]) -> Problem:
    """Keep back the values of sensitive columns; a rule over whole rows may speak of any of them."""
    if problem.rule in _OF_NAMES or not (problem.column in sensitive or (sensitive and not problem.column)):
        return problem
    rows = (_ROW.match(example) for example in problem.examples)
    return replace(problem, examples=tuple(row[0] for row in rows if row))


def _typed(schema: "pa.DataFrameSchema", rows: Table) -> tuple[pd.DataFrame, list[Problem]]:
    frame = rows.frame
    problems, columns = [], {}
    for name, column in schema.columns.items():
        if name not in frame:
            if column.required:
                problems.append(_missing(name, len(frame), rows.available or tuple(map(str, frame.columns))))
            continue
        kind = kind_of(column.dtype)
        values = frame[name]
        typed, bad = coerce(values, kind)
        if typed is not values:  # most are what they should be: a second table of them would double the memory
            columns[name] = typed
        if bad.any():
            problems.append(Problem(name, _EXPECTED[kind], int(bad.sum()), _examples(values[bad])))
    return replaced(frame, columns), problems


def _missing(name: str, rows: int, available: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, available, n=1)
    return Problem(name, _ABSENT, rows, (f"there is {near[0]}",) if near else ())


def _rules_only(schema: "pa.DataFrameSchema", without: set[str]) -> "pa.DataFrameSchema":
    """Return the schema without its types, which were seen to already, and without columns that failed there."""
    rules = copy.deepcopy(schema).remove_columns([name for name in without if name in schema.columns])
    rules.coerce = False
    rules.ordered = False
    rules.strict = rules.strict is True  # what to filter was left out before: see `_as_owner_sees`
    for column in rules.columns.values():
        if kind_of(column.dtype) != "other":
            column.dtype = None
            column.coerce = False
    return rules


def _as_owner_sees(schema: "pa.DataFrameSchema", frame: pd.DataFrame) -> pd.DataFrame:
    """Give moments without a time zone to rules of a schema that declares them so; leave out what it filters."""
    if schema.strict == "filter" and not set(frame) <= set(schema.columns):
        frame = frame[[name for name in frame if name in schema.columns]]
    naive = {
        name: frame[name].dt.tz_localize(None)
        for name, column in schema.columns.items()
        if name in frame and kind_of(column.dtype) == "moment" and getattr(column.dtype.type, "tz", None) is None
    }
    return replaced(frame, naive)


def _broken_rules(schema: "pa.DataFrameSchema", frame: pd.DataFrame) -> list[Problem]:
    import pandera.errors  # noqa: PLC0415 (heavy; the schema was imported by then)

    try:
        schema.validate(frame.copy(deep=False), lazy=True, inplace=True)  # what it changes stays in its own columns
    except pandera.errors.SchemaErrors as error:
        return list(_problems(error.failure_cases))
    return []


def _problems(cases: Any) -> Iterator[Problem]:  # noqa: ANN401 (pandas is not typed here)
    whole_row = cases["schema_context"] == "DataFrameSchema"
    names = cases["column"].where(~whole_row, "")
    for (column, check), group in cases.groupby([names, "check"], sort=False):
        rows = group.drop_duplicates("index") if group["index"].notna().all() else group
        if column or group["index"].isna().any():
            examples = _examples(rows.set_index("index")["failure_case"])
        else:  # a rule over whole rows says only which
            examples = tuple(f"row {row}" for row in rows["index"][:_EXAMPLES])
        yield Problem(str(column), _in_words(str(check)), len(rows), examples)


def _in_words(check: str) -> str:
    for pattern, words in _WORDS:
        if re.fullmatch(pattern, check, flags=re.DOTALL):
            return re.sub(pattern, words, check, flags=re.DOTALL)
    return check


def _examples(values: Any) -> tuple[str, ...]:  # noqa: ANN401 (pandas is not typed here)
    return tuple(_example(row, value) for row, value in values[:_EXAMPLES].items())


def _example(row: object, value: object) -> str:
    found = (
        "missing"
        if pd.api.types.is_scalar(value) and pd.isna(value)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )
    return f"row {row} ({found})" if pd.notna(row) else found


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:500]
