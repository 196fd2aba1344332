"""What was inferred is tried before it is written: read, checked, split, and a first model fitted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_flows.data import Splits, contract, quality, sources, splits
from towpath_flows.data.rules import leakage
from towpath_flows.data_spec import LeakageSpec
from towpath_flows.evaluation.bootstrap import Estimate, estimates
from towpath_flows.evaluation.metrics import METRICS
from towpath_flows.project import Project
from towpath_flows.spec import SplitSpec
from towpath_flows.training.features import Features
from towpath_flows.training.preparation import prepare
from towpath_flows.training.trainers import TRAINERS, Setting
from towpath_gitops.errors import DataContractError, TowpathError
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.figures import QualityFigures

_CELLS: Final = 4_000_000  # rows times columns of the first fit
_FEWEST_ROWS: Final = 2_000
_GIVES_AWAY: Final = 0.98  # a column that predicts so well alone is hardly a cause: it was made from the answer
_GIVES_ALL_AWAY: Final = 0.995  # of each of several classes
_FEWEST: Final = 3 * splits.MIN_ROWS + 3
_LARGEST: Final = 0.34  # share of the rows of a small table that the test may take, and validation as many
_ROUNDS: Final = 100
_PATIENCE: Final = 15
_METRICS: Final[dict[str, tuple[str, ...]]] = {
    "binary": ("roc_auc",),
    "multiclass": ("balanced_accuracy",),
    "regression": ("r2", "mae"),
}


@dataclass(frozen=True)
class Trial:
    """What trying gave: the table in parts, what its columns tell alone, and what a first model reached.

    `leaks` is how well each column predicts its best class alone, `answers` names those that give every class away,
    `breaches` are the measures of other rules of `quality` that the table breaks as they stand.
    `reached` is measured on the validation rows; `guessing` is what an answer without any feature reaches there.
    """

    shares: SplitSpec
    timed: bool
    rows: dict[str, int]
    leaks: dict[str, float]
    answers: dict[str, float]
    breaches: dict[str, float]
    reached: dict[str, Estimate]
    guessing: dict[str, float]
    spread: float | None
    span: pd.Timedelta | None
    doubts: tuple[str, ...]


def attempt(project: Project) -> Trial:
    """Do what training begins with, and fit a first model on part of the rows; the test rows are only counted.

    Raises:
        DataContractError: the table cannot be trained on, with the reason.
    """
    validated = contract.validate(project, sources.load(project))
    project, parts, doubts = _parted(project, validated.frame)
    scored = leakage.powers(parts, quality.feature_names(project))
    powers = {name: [value for value, _ in each] for name, each in scored.items()}
    broken = _broken(project, validated, parts)
    reached, guessing = _first_fit(project, parts)
    moments = parts.test[project.spec.time] if project.spec.time else None
    return Trial(
        shares=project.spec.split,
        timed=project.spec.time is not None,
        rows={name: len(frame) for name, frame in splits.parts(parts)},
        leaks={name: leakage.strongest(each, LeakageSpec().max or 1.0)[0] for name, each in scored.items()},
        answers=_answers(powers) | {each.column: 1.0 for each in broken if each.rule == "leakage" and each.column},
        breaches={each.rule: each.measured or 0.0 for each in broken if each.rule != "leakage"},
        reached=reached,
        guessing=guessing,
        spread=None if parts.target.classes else float(np.std(parts.target.encode(parts.train[parts.target.column]))),
        span=None if moments is None else moments.max() - moments.min(),
        doubts=tuple(doubts),
    )


def _broken(project: Project, validated: contract.Validated, parts: Splits) -> list[QualityFigures]:
    """Return what the rules of `quality` find as they stand; of leaks only the copies of the target."""
    lenient = _changed(project, quality=project.spec.quality.model_copy(update={"leakage": LeakageSpec(max=None)}))
    found = quality.inspect(lenient, validated, parts).figures
    return [figures for figures in found if figures.verdict is not Verdict.PASS]


def _answers(powers: dict[str, list[float]]) -> dict[str, float]:
    limit = {1: _GIVES_AWAY}
    return {name: min(each) for name, each in powers.items() if min(each) >= limit.get(len(each), _GIVES_ALL_AWAY)}


def _parted(project: Project, frame: pd.DataFrame) -> tuple[Project, Splits, list[str]]:
    """Split by time where that can be done, else at random; with larger shares where the rows are few."""
    doubts: list[str] = []
    timed = (project, _without_time(project)) if project.spec.time else (project,)
    refusal: TowpathError | None = None
    for candidate in timed:
        for shares in _shares(frame, project.spec.target):
            tried = _changed(candidate, split=shares)
            try:
                parts = splits.split(tried, frame)
            except DataContractError as error:
                refusal = refusal or error
                continue
            if project.spec.time and not tried.spec.time:
                why = str(refusal).splitlines()[0] if refusal else ""
                doubts.append(f"{project.spec.time} could be the time, but the rows cannot be split by it: {why}.")
            return tried, parts, [*doubts, *_unjudged(parts)]
    why = str(refusal).splitlines()[0] if refusal else ""
    raise DataContractError(
        "The rows cannot be split in three: to learn from, to choose by and to judge by",
        why=f"{why}. Shares of up to {_LARGEST:.0%} were tried.",
        hint="Gather more rows, or group rare classes of the target.",
    )


def _shares(frame: pd.DataFrame, target: str) -> Sequence[SplitSpec]:
    known = refuse_few(frame[target])
    fewest = math.ceil(100 * (splits.MIN_ROWS + 0.5) / max(known, 1)) / 100
    if fewest <= 0.2:  # noqa: PLR2004 (the usual share)
        return [SplitSpec()]
    shares = [fewest + step / 100 for step in range(0, 16, 3) if fewest + step / 100 <= _LARGEST]
    return [SplitSpec(validation=share, test=share) for share in (shares or [fewest])]


def refuse_few(target: "pd.Series[Any]") -> int:
    """Return how many rows have a value of the target.

    Raises:
        DataContractError: they are too few to be split in three.
    """
    known = int(target.notna().sum())
    if 0 < known < _FEWEST:
        raise DataContractError(
            f"{known} row{'s have' if known > 1 else ' has'} a value of {target.name}: too few",
            why=f"Train, validation and test need {splits.MIN_ROWS} rows each; below that no measure says anything.",
            hint=f"Gather {_FEWEST} rows or more.",
        )
    return known


def _unjudged(parts: Splits) -> list[str]:
    classes = parts.target.classes or ()
    present = set(np.unique(parts.target.encode(parts.test[parts.target.column]))) if classes else set()
    absent = [name for code, name in enumerate(classes) if code not in present]
    if not absent:
        return []
    names = ", ".join(absent[:5])
    return [
        f"No test row is of class {names}: the model learns it, and nobody can say how well. Gather more such rows."
    ]


def _changed(project: Project, **values: Any) -> Project:  # noqa: ANN401 (values of any field)
    return Project(project.root, project.spec.model_copy(update=values))


def _without_time(project: Project) -> Project:
    exclude = (*project.spec.exclude, project.spec.time)
    return _changed(project, time=None, exclude=exclude)


def _first_fit(project: Project, parts: Splits) -> tuple[dict[str, Estimate], dict[str, float]]:
    spec, features = project.spec, Features.of(project, parts.train, parts.target)
    most = max(_FEWEST_ROWS, _CELLS // len(features.names))
    train, judge = _thinned(parts.train, most), _thinned(parts.validation, most)
    if parts.target.classes and train[spec.target].nunique() < len(parts.target.classes):
        train = parts.train
    ready = prepare(project, features, train, judge)
    framework = spec.train.frameworks[0]
    trainer = TRAINERS[framework]
    setting = Setting(spec.task, len(parts.target.classes or ()), _ROUNDS, _PATIENCE, spec.train.seed)
    fitted = trainer.fit(ready.train, ready.judge, trainer.defaults(), setting)
    if ready.judge is None:
        message = "rows to judge were given"
        raise ValueError(message)
    y, answers = ready.judge.y, trainer.predict(fitted.estimator, ready.judge.x)
    guess = _guess(spec.task, ready.train.y, len(y), answers.shape[1])
    measured = {name: METRICS[name] for name in _METRICS[spec.task]}
    prepared = {name: metric.prepare(spec.task, y, answers) for name, metric in measured.items()}
    guessing = {name: metric.measure(spec.task, y, guess) for name, metric in measured.items()}
    return estimates(prepared, len(y), roughly=True), guessing


def _guess(task: str, y: Any, rows: int, width: int) -> Any:  # noqa: ANN401 (arrays)
    """Return what is answered without a look at the row: the median, or the same chance for all."""
    return np.full((rows, 1), np.median(y)) if task == "regression" else np.full((rows, width), 1 / max(2, width))


def _thinned(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, most).astype(int)].reset_index(drop=True)
