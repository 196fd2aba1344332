"""The assessments that training makes: of data, parity, worth, behaviour, and of the candidate against the champion."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.evaluation import checks, comparison, gates
from towpath_flows.evaluation.assessment import Assessment, one_line
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.spec import CheckGate, ComparisonGate, SliceGate
from towpath_gitops.errors import DataContractError, TowpathError
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

BEHAVIOUR_ROWS = 500


def window_of(project: Project, frame: pd.DataFrame) -> tuple[str | None, str | None]:
    """Return the first and last moment of the rows, ISO 8601; nothing where the model has no time column."""
    if project.spec.time is None or frame.empty:
        return None, None
    moments = frame[project.spec.time]
    return moments.min().isoformat(), moments.max().isoformat()


def groups_of(project: Project, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the column (n,) of every slice gate as text, in which missing values are a group of their own."""
    columns = {gate.slice for gate in project.spec.gates if isinstance(gate, SliceGate)}
    lacking = sorted(columns - set(frame))
    if lacking:
        raise DataContractError(
            f"A slice gate names {', '.join(lacking)}, which the schema does not have",
            hint="Correct `slice` under `gates` in model.yaml.",
        )
    return {
        name: frame[name].astype(object).where(frame[name].notna(), "(missing)").astype(str).to_numpy(dtype=object)
        for name in columns
    }


def assess_worth(project: Project, folder: Path, test: pd.DataFrame) -> Assessment:
    """Judge the exported model on the test rows by the metric and slice gates (kind `evaluation`)."""
    scorer = Scorer.open(folder)
    y, p = scorer.features.y(test), scorer.answers(test)
    return gates.evaluate(project.spec, y, p, groups_of(project, test), window_of(project, test))


def assess_behaviour(project: Project, folder: Path, test: pd.DataFrame) -> Assessment | None:
    """Run the behaviour checks that the gates name on a sample of the test rows; None where no gate names one."""
    names = tuple(dict.fromkeys(gate.check for gate in project.spec.gates if isinstance(gate, CheckGate)))
    if not names:
        return None
    scorer = Scorer.open(folder)
    chosen = np.unique(np.linspace(0, len(test) - 1, BEHAVIOUR_ROWS).astype(int))
    sample = scorer.columns(test.iloc[chosen])
    return checks.behave(checks.Subject(scorer.signature, scorer.engine.predict, sample), names)


def assess_against(
    project: Project, folder: Path, test: pd.DataFrame, champion: Release | None, champion_folder: Path | None
) -> Assessment | None:
    """Compare the exported model with the champion on the same test rows; None where no gate asks for it.

    Where the rows are split by time they are later than all that either was fitted on, if the champion was trained on
    an earlier window. A champion that cannot answer these rows, or answers another question, leaves it inconclusive.
    """
    asked = [gate for gate in project.spec.gates if isinstance(gate, ComparisonGate)]
    if not asked:
        return None
    if champion is None or champion_folder is None:
        return Assessment(Kind.COMPARISON, tuple(comparison.no_champion(gate) for gate in asked))
    try:
        duel = _duel(project, Scorer.open(champion_folder), Scorer.open(folder), test)
    except TowpathError as error:
        words = one_line(f"The champion {champion} cannot be asked about these rows: {error.what}")
        findings = [Finding(gate=str(gate), verdict=Verdict.INCONCLUSIVE, message=words) for gate in asked]
        return Assessment(Kind.COMPARISON, tuple(findings), {}, champion.id)
    return _assess_duel(project, duel, asked, test, champion)


def _duel(project: Project, champion: Scorer, challenger: Scorer, test: pd.DataFrame) -> comparison.Duel:
    asked, answered = challenger.signature, champion.signature
    if (asked.task, asked.target, asked.classes) != (answered.task, answered.target, answered.classes):
        raise DataContractError(f"it predicts {_question(answered)}, not {_question(asked)}")
    return comparison.Duel(
        asked.task,
        challenger.features.y(test),
        champion.answers(test),
        challenger.answers(test),
        project.spec.threshold,
    )


def _question(signature: Signature) -> str:
    classes = f" ({', '.join(signature.classes)})" if signature.classes else ""
    return f"{signature.task} “{signature.target}”{classes}"


def _assess_duel(
    project: Project, duel: comparison.Duel, asked: list[ComparisonGate], test: pd.DataFrame, champion: Release
) -> Assessment:
    seed = project.spec.train.seed
    measured = [comparison.difference(duel, gate.metric, confidence=gate.confidence, seed=seed) for gate in asked]
    findings = tuple(comparison.judge(found, gate) for found, gate in zip(measured, asked, strict=True))
    groups = groups_of(project, test)
    details = {
        **measured[0].plain(),
        "window": list(window_of(project, test)),
        **comparison.flips(duel),
        "slices": comparison.by_slice(duel, asked[0].metric, groups),
        "others": [found.plain() for found in measured[1:]],
    }
    return Assessment(Kind.COMPARISON, findings, details, champion.id)
