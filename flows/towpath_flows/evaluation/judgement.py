"""The assessments that training makes: of data, parity, worth, behaviour, and of the candidate against the champion."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.deciding import rule_of
from towpath_flows.evaluation import checks, comparison, gates, replay
from towpath_flows.evaluation.assessment import Assessment, one_line
from towpath_flows.evaluation.bootstrap import estimates
from towpath_flows.evaluation.business import measures_of
from towpath_flows.evaluation.checks.own import own_checks
from towpath_flows.evaluation.footprint import weighing
from towpath_flows.evaluation.metrics import METRICS
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.evidence_spec import BehaviourSpec
from towpath_flows.project import Project
from towpath_flows.spec import CheckGate, ComparisonGate, SliceGate
from towpath_gitops.errors import DataContractError, TowpathError
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.records.figures import MOST_METRICS, Calibration, ChosenThreshold, ComparisonFigures, Rivals
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature


def window_of(project: Project, frame: pd.DataFrame) -> tuple[str | None, str | None]:
    """Return the first and last moment of the rows, ISO 8601; nothing where the model has no time column."""
    if project.spec.time is None or frame.empty:
        return None, None
    moments = frame[project.spec.time]
    return moments.min().isoformat(), moments.max().isoformat()


def groups_of(project: Project, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the column (n,) of every slice gate as text, in which missing values are a group of their own.

    The groups of a sensitive column have numbers instead of its values: all that is told of them is how they fare.
    """
    columns = {gate.slice for gate in project.spec.gates if isinstance(gate, SliceGate)}
    lacking = sorted(columns - set(frame))
    if lacking:
        raise DataContractError(
            f"A slice gate names {', '.join(lacking)}, which the schema does not have",
            hint="Correct `slice` under `gates` in model.yaml.",
        )
    return {name: _texts(frame[name], discreet=name in project.sensitive) for name in columns}


def _texts(values: "pd.Series[Any]", *, discreet: bool) -> NDArray[Any]:
    found: NDArray[Any] = values.astype(object).where(values.notna(), "(missing)").astype(str).to_numpy(dtype=object)
    if not discreet:
        return found
    codes, different = pd.factorize(found, sort=True)
    width = len(str(len(different)))
    return np.array([f"group {code + 1:0{width}}" for code in codes], dtype=object)


def assess_worth(
    project: Project, folder: Path, test: pd.DataFrame, chosen: ChosenThreshold | None = None
) -> Assessment:
    """Judge the exported model on the test rows by the metric and slice gates (kind `evaluation`).

    It decides from the threshold that it is served with; `chosen` tells how that was chosen.

    Raises:
        InvalidFileError: a measure of the owner's own cannot be used.
    """
    scorer = Scorer.open(folder)
    y, p = scorer.features.y(test), scorer.answers(test)
    measures = measures_of(project, test, scorer.signature.classes)
    how = gates.Measuring(measures, rule_of(scorer.signature), chosen)
    return gates.evaluate(project.spec, y, p, groups_of(project, test), window_of(project, test), how)


def assess_behaviour(
    project: Project, folder: Path, test: pd.DataFrame, learned: pd.DataFrame | None = None
) -> Assessment | None:
    """Run the behaviour checks that the gates name on a sample of the test rows; None where no gate names one.

    `learned` are the rows that the model was fitted on: without them nobody can say whether it knows them by heart.

    Raises:
        InvalidFileError: the owner's own checks cannot be used.
    """
    names = tuple(dict.fromkeys(gate.check for gate in project.spec.gates if isinstance(gate, CheckGate)))
    if not names:
        return None
    expected = _expected(project)
    scorer, asked = Scorer.open(folder), _spread(test, expected.rows)
    subject = checks.Subject(
        scorer.signature,
        scorer.engine.predict,
        scorer.columns(asked),
        expected=expected,
        truth=scorer.features.y(asked),
        learned=None if learned is None else _labelled(scorer, _spread(learned, expected.rows)),
        reopen=lambda: _opened(folder),
        latency=project.spec.serve.p99,
    )
    return checks.behave(subject, names, own_checks(project.root, expected.own, checks.CHECKS))


def _expected(project: Project) -> BehaviourSpec:
    """Return what model.yaml expects: a direction that training is held to is watched as well."""
    expected = project.spec.behaviour
    columns = {**project.spec.train.monotone, **expected.monotone.columns}
    return expected.model_copy(update={"monotone": expected.monotone.model_copy(update={"columns": columns})})


def _spread(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, rows).astype(int))]


def _labelled(scorer: Scorer, frame: pd.DataFrame) -> checks.Labelled:
    return checks.Labelled(scorer.columns(frame), scorer.features.y(frame))


def _opened(folder: Path) -> tuple[Signature, checks.Predict]:
    scorer = Scorer.open(folder)
    return scorer.signature, scorer.engine.predict


def assess_against(
    project: Project, folder: Path, test: pd.DataFrame, champion: Release | None, champion_folder: Path | None
) -> Assessment | None:
    """Compare the exported model with the champion on the same test rows; None where no gate asks for it.

    Where the rows are split by time they are later than all that either was fitted on, if the champion was trained on
    an earlier window. A champion that cannot answer these rows, or answers another question, leaves it inconclusive.

    Raises:
        TrainingError: the exported model cannot be served.
    """
    asked = [gate for gate in project.spec.gates if isinstance(gate, ComparisonGate)]
    if not asked:
        return None
    with weighing(folder, champion_folder) as weights:
        findings, rivals, silence = _opposed(project, folder, test, champion, champion_folder)
        figures = ComparisonFigures(
            rivals=rivals, silence=silence, footprints=weights.read(), price=project.spec.serve.cpu_hour
        )
    return Assessment(Kind.COMPARISON, findings, figures.plain(), champion.id if champion else None)


def _opposed(
    project: Project, folder: Path, test: pd.DataFrame, champion: Release | None, champion_folder: Path | None
) -> tuple[tuple[Finding, ...], Rivals | None, str | None]:
    """Return the verdicts, and either what the two answered or why they could not be compared."""
    asked = [gate for gate in project.spec.gates if isinstance(gate, ComparisonGate)]
    if champion is None or champion_folder is None:
        return tuple(comparison.no_champion(gate) for gate in asked), None, comparison.NO_CHAMPION
    try:
        return _compared(project, Scorer.open(champion_folder), Scorer.open(folder), test)
    except TowpathError as error:
        words = one_line(f"The champion {champion} cannot be asked about these rows: {error.what}")
        findings = [Finding(gate=str(gate), verdict=Verdict.INCONCLUSIVE, message=words) for gate in asked]
        return tuple(findings), None, words


def _compared(
    project: Project, champion: Scorer, challenger: Scorer, test: pd.DataFrame
) -> tuple[tuple[Finding, ...], Rivals | None, str | None]:
    asked = [gate for gate in project.spec.gates if isinstance(gate, ComparisonGate)]
    measures = measures_of(project, test, challenger.signature.classes)
    duel, window = replace(_duel(champion, challenger, test), measures=measures), window_of(project, test)
    measured = comparison.compare(duel, asked, seed=project.spec.train.seed)
    findings = tuple(comparison.judge(found, gate) for found, gate in measured if gate is not None)
    segments = replay.segments_of(challenger.signature, test, groups_of(project, test))
    replayed = replay.replay(duel, test, segments, window)
    metrics = tuple(filter(None, (found.figures(gate) for found, gate in measured)))[:MOST_METRICS]
    if replayed is None or not metrics:
        return findings, None, "There is no row on which the two could be compared"
    rivals = Rivals(task=duel.task, rows=duel.rows, window=window, metrics=metrics, replay=replayed)
    return findings, rivals.model_copy(update=_calibrations(duel, project.spec.train.seed)), None


def _duel(champion: Scorer, challenger: Scorer, test: pd.DataFrame) -> comparison.Duel:
    asked, answered = challenger.signature, champion.signature
    if (asked.task, asked.target, asked.classes) != (answered.task, answered.target, answered.classes):
        raise DataContractError(f"it predicts {_question(answered)}, not {_question(asked)}")
    return comparison.Duel(
        asked.task,
        challenger.features.y(test),
        champion.answers(test),
        challenger.answers(test),
        rule_of(asked),
        rule_of(answered),
    )


def _question(signature: Signature) -> str:
    classes = f" ({', '.join(signature.classes)})" if signature.classes else ""
    return f"{signature.task} “{signature.target}”{classes}"


def _calibrations(duel: comparison.Duel, seed: int) -> dict[str, Calibration]:
    """Return how well the probabilities of both are calibrated, for a binary task."""
    if duel.task != "binary":
        return {}
    duel = duel.where(duel.answered)
    known = {"champion": duel.champion, "challenger": duel.challenger}
    prepared = {name: METRICS["calibration_error"].prepare("binary", duel.y, each) for name, each in known.items()}
    measured = estimates(prepared, duel.rows, roughly=True, seed=seed)
    return {
        name: Calibration(
            error=found.value,
            interval=(max(0.0, found.low), found.high),
            bins=gates.reliability(duel.y, known[name][:, 0]),
        )
        for name, found in measured.items()
    }
