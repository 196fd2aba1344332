"""Is the data fit to learn from? The rules of model.yaml, and columns that say nothing or cannot be served."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from towpath_bento.limits import MAX_TEXT
from towpath_flows.data.contract import Validated
from towpath_flows.data.past import Past
from towpath_flows.data.rules import RULES, Facts
from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.figures import QualityFigures

_TOLD: Final = 3  # columns that a message names
_FLOAT32_WHOLE: Final = 2**24  # the largest whole number below which float32, the served type, holds every other
_ROUNDED: Final = (
    "hold whole numbers over 2^24, which float32 rounds and the service refuses; as `float` in the schema it takes them"
)


@dataclass(frozen=True)
class Quality:
    """What the rules of `quality` in model.yaml say, and what else a person should know."""

    findings: tuple[Finding, ...]
    figures: tuple[QualityFigures, ...]


def inspect(
    project: Project,
    validated: Validated,
    splits: Splits,
    *,
    past: Past | None = None,
    now: datetime | None = None,
) -> Quality:
    """Judge the validated rows and their parts by every rule; see `towpath_flows.data.rules`.

    Some rules compare with `past`, the last release, and pass where there is none. Empty and constant columns, whole
    numbers that float32 rounds, and texts that the service does not take are told and pass.
    """
    features = feature_names(project)
    facts = Facts(project, validated.frame, splits, tuple(features), past, validated.until, now or datetime.now(UTC))
    measures = [(name, measure) for name, rule in RULES.items() for measure in rule.judge(facts)]
    told = (
        _told("empty columns", [name for name in features if splits.train[name].isna().all()], "carry no information"),
        _told("constant columns", [name for name in features if _constant(splits.train[name])], "carry no information"),
        _told("exact numbers", _rounded(splits.train[features]), _ROUNDED),
        _told(
            "short texts", _long(splits.train[features]), f"hold over {MAX_TEXT} characters; the service refuses them"
        ),
    )
    findings = (*(measure.finding for _, measure in measures), *told)
    return Quality(findings, tuple(measure.figures(name) for name, measure in measures))


def feature_names(project: Project) -> list[str]:
    """Return the columns of the schema that the model may see, in the schema's order.

    Raises:
        DataContractError: there is none.
    """
    spec = project.spec
    kept_back = {spec.target, spec.time, spec.entity, spec.train.weights, *spec.exclude}
    names = [name for name in project.schema.columns if name not in kept_back]
    if not names:
        raise DataContractError(
            "No column is left to learn from",
            why="Every column of the schema is the target, the time, the entity, the weight or excluded.",
            hint="Add columns to the schema, or remove some from `exclude` in model.yaml.",
        )
    return names


def _told(gate: str, names: list[str], what: str) -> Finding:
    if not names:
        return Finding(gate=gate, verdict=Verdict.PASS, message="There are none", measured=0)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    message = f"{', '.join(names[:_TOLD])}{more} {what}"[:500]
    return Finding(gate=gate, verdict=Verdict.PASS, message=message, measured=len(names))


def _constant(values: Any) -> bool:  # noqa: ANN401 (pandas is not typed here)
    return bool(values.notna().all() and (values == values.iloc[0]).all())


def _rounded(frame: pd.DataFrame) -> list[str]:
    whole = [name for name in frame if pd.api.types.is_integer_dtype(frame[name])]
    return [name for name in whole if (frame[name].dropna().abs() > _FLOAT32_WHOLE).any()]


def _long(frame: pd.DataFrame) -> list[str]:
    texts = [name for name in frame if pd.api.types.is_string_dtype(frame[name])]
    return [name for name in texts if (frame[name].dropna().str.len() > MAX_TEXT).any()]
