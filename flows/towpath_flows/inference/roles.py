"""Which column is what: the task that the target sets, the time, the entity, and what the model may not see."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd

from towpath_flows.data.target import MOST_CLASSES, label
from towpath_flows.inference.columns import FEWEST_EACH, MANY, Column
from towpath_flows.inference.naming import one_line
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.signature import Task

FEW_NUMBERS: Final = 10  # different whole numbers up to which a target may be a code
_FEW_MOMENTS: Final = 3
_NO_EVENT: Final = re.compile(r"birth|dob|geburt|naiss|nacim|expir|hire|due|valid|until|end|deadline")
_EVENT: Final = re.compile(r"time|date|stamp|(?:^|_)ts$|_at$|created|moment|when|day|hour|order")
_YES: Final = ("true", "1", "yes", "y", "positive", "pos", "t", "ja", "oui", "si", "sí")


@dataclass(frozen=True)
class Roles:
    """What each column is for; `doubts` are sentences about what an owner should look at."""

    target: Column
    task: Task
    positive: object
    time: str | None
    entity: str | None
    columns: tuple[Column, ...]
    doubts: tuple[str, ...]

    @property
    def features(self) -> list[Column]:
        """The columns that the model sees."""
        named = {self.target.name, self.time, self.entity}
        return [each for each in self.columns if not (each.lost or each.aside or each.name in named)]


def cast(columns: Sequence[Column], values: "pd.Series[Any]", task: Task | None, time: str | None) -> Roles:
    """Give each column its role; `values` are those of the target, `task` and `time` what the owner said.

    Raises:
        DataContractError: the target cannot be predicted, or `time` holds no moments.
    """
    target = next(column for column in columns if column.name == values.name)
    found, doubts = _task(target, values, task)
    chosen, unsure = _time(columns, target, time)
    doubts += unsure
    entity = next((each.name for each in columns if each is not target and _is_entity(each)), None)
    others = [each if each.name == target.name else _set_aside(each, entity) for each in columns]
    for column in others:
        doubts += [f"{one_line(column.name)}: {remark}." for remark in column.remarks]
    doubts += [
        f"{one_line(each.name)} names something that occurs in several rows: the same one may be in train and in test."
        for each in others
        if each.is_named_as_id and each.kind in {"string", "integer"} and not each.unique and each.distinct > MANY
    ]
    kind = "integer" if found != "regression" and target.kind == "number" and _are_whole(values) else target.kind
    fixed = tuple(replace(each, kind=kind, aside="", lost="") if each.name == target.name else each for each in others)
    positive = _positive(values) if found == "binary" else None
    if found == "binary" and label(positive).lower() not in _YES:
        doubts.append(
            f"{label(positive)} is taken for the class that is asked about (`positive`): it is the rarer one."
        )
    return Roles(replace(target, kind=kind), found, positive, chosen, entity, fixed, tuple(doubts))


def _is_entity(column: Column) -> bool:
    named = column.is_named_as_id and not column.counts_rows and not column.name.startswith("Unnamed: ")
    return named and column.unique and column.kind in {"string", "integer"} and not column.lost


def _set_aside(column: Column, entity: str | None) -> Column:
    if column.lost or column.aside or column.name == entity:
        return column
    if column.unique and (column.counts_rows or (column.is_named_as_id and column.kind in {"string", "integer"})):
        why = "it counts the rows" if column.counts_rows else "it names the row"
        return replace(column, aside=f"{why}, and says nothing about the next")
    return column


def _task(target: Column, values: "pd.Series[Any]", asked: Task | None) -> tuple[Task, list[str]]:
    known = values.dropna()
    _refuse_hopeless(target, known)
    if asked is not None:
        return asked, []
    if target.distinct == 2:  # noqa: PLR2004 (two values are what binary means)
        return "binary", []
    if target.kind in {"string", "boolean"}:
        if target.distinct <= MOST_CLASSES:
            return "multiclass", []
        raise DataContractError(
            f"The target {target.name} holds {target.distinct:,} different texts",
            why=f"A model tells at most {MOST_CLASSES} classes apart, and text is no amount. "
            + " ".join(f"{remark}." for remark in target.remarks or (target.aside,) if remark),
            hint="Group them, or choose another target.",
        )
    return _of_numbers(target, known)


def _of_numbers(target: Column, known: "pd.Series[Any]") -> tuple[Task, list[str]]:
    """Return what a target of numbers sets: few that are whole and frequent are codes, all others are amounts."""
    whole = _are_whole(known)
    many = f"{target.name} holds {target.distinct} different {'whole ' if whole else ''}numbers"
    is_frequent = target.distinct <= FEW_NUMBERS and known.value_counts().min() >= FEWEST_EACH
    if is_frequent and whole:
        taken = "which are taken for classes (multiclass); if they are amounts, say --task regression"
        return "multiclass", [f"{many}, {taken}."]
    if is_frequent or (whole and target.distinct <= MOST_CLASSES):
        taken = "which are taken for amounts (regression); if they are codes, say --task multiclass"
        return "regression", [f"{many}, {taken}."]
    return "regression", []


def _refuse_hopeless(target: Column, known: "pd.Series[Any]") -> None:
    if target.lost:
        raise DataContractError(
            f"The target {target.name} cannot be predicted", why=f"{target.lost[0].upper()}{target.lost[1:]}."
        )
    if target.kind == "moment":
        raise DataContractError(
            f"The target {target.name} holds moments",
            why="A model answers classes and amounts.",
            hint="Predict the time until then, as a number.",
        )
    if target.distinct < 2:  # noqa: PLR2004 (two different values are what can be told apart)
        shown = f"is {label(known.iloc[0])} in every row that has one" if len(known) else "has no value in any row"
        raise DataContractError(
            f"The target {target.name} {shown}",
            why="A model can only learn to tell apart what differs.",
            hint="Look at how the target is made, or choose another.",
        )


def _are_whole(values: "pd.Series[Any]") -> bool:
    numbers = pd.to_numeric(values.dropna(), errors="coerce")
    return bool(numbers.notna().all() and (numbers % 1 == 0).all())


def _positive(values: "pd.Series[Any]") -> object:
    """Return the value that says yes, or else the rarer one."""
    counts = values.dropna().value_counts()
    by_label = {label(value).lower(): value for value in counts.index}
    chosen = next((by_label[word] for word in _YES if word in by_label), counts.index[-1])
    text = label(chosen)
    if pd.api.types.is_bool(chosen) or text in {"true", "false"}:
        return text == "true"
    if isinstance(chosen, str):
        return chosen
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _time(columns: Sequence[Column], target: Column, asked: str | None) -> tuple[str | None, list[str]]:
    moments = [each for each in columns if each.kind == "moment" and each is not target]
    if asked is not None:
        if asked not in {each.name for each in moments if not each.missing}:
            raise DataContractError(
                f"{asked} cannot be the time",
                why="A time column holds a moment of ISO 8601 in every row, such as 2026-01-31T18:00:00Z.",
                hint=f"There are {', '.join(each.name for each in moments)}." if moments else "No column holds any.",
            )
        return asked, []
    fit = [each for each in moments if not each.missing and each.distinct >= _FEW_MOMENTS]
    fit = [each for each in fit if not _NO_EVENT.search(each.name.lower())]
    if not fit:
        return None, _without_time(moments)
    best = next((each for each in fit if _EVENT.search(each.name.lower())), fit[0])
    if len(fit) == 1:
        return best.name, []
    others = ", ".join(each.name for each in fit if each is not best)
    return best.name, [
        f"{best.name} is taken for the time at which a row happened; {others} would do as well (--time)."
    ]


def _without_time(moments: Sequence[Column]) -> list[str]:
    if not moments:
        return []
    names = ", ".join(each.name for each in moments)
    return [f"No column was taken for the time, though {names} holds moments; if a row happens at one, say --time."]
