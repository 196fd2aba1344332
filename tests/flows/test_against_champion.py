"""What comparison evidence holds for every task: trained, exported, asked, weighed, and drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from towpath_flows.data import load, split, validate
from towpath_flows.evaluation.judgement import assess_against
from towpath_flows.project import Project
from towpath_flows.spec import METRICS, ComparisonGate, Metric
from towpath_flows.training import TuneResult, export, fit
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.promotion.pictures import draw
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.figures import ComparisonFigures, Price
from towpath_gitops.records.release import Release

DIGEST = digest_bytes(b"x")
CHAMPION = Release(
    model="returns", version=1, semver="1.0.0", artifact=DIGEST, schema=DIGEST, data=DIGEST, code="0" * 40
)


def _shown(project: Project, folder: Path, test: Any, champion: Path | None) -> tuple[ComparisonFigures, set[str]]:  # noqa: ANN401 (a frame)
    """Return the figures of a comparison, and which pictures are drawn of it."""
    found = assess_against(project, folder, test, CHAMPION if champion else None, champion)
    assert found is not None
    values = {"model": "returns", "release": DIGEST, "gates": DIGEST, "created": "2026-06-01T00:00:00Z"}
    evidence = Evidence.model_validate(
        values | {"kind": Kind.COMPARISON, "findings": found.findings, "details": found.details}
    )
    return ComparisonFigures.model_validate(found.details), set(draw({Kind.COMPARISON: evidence}))


@pytest.mark.parametrize(
    ("task", "target", "judged"),
    [("binary", "returned", "roc_auc"), ("multiclass", "country", "log_loss"), ("regression", "items", "rmse")],
)
def test_every_task_is_compared_in_full(
    new_project: Callable[..., Project], tmp_path: Path, task: str, target: str, judged: Metric
) -> None:
    """Every metric of the task, flips in segments, calibration where there are probabilities of two, and costs."""
    project = new_project(spec=("gates:", "serve: {cpu_hour: 0.04 USD}\ngates:"))
    gate = ComparisonGate(metric=judged, against="champion", margin=0.5)
    exclude = ("refund_days", "returned") if target != "returned" else ("refund_days",)
    update = {"task": task, "target": target, "exclude": exclude, "gates": (gate,)}
    project = Project(project.root, project.spec.model_copy(update=update))
    parts = split(project, validate(project, load(project)).frame)
    folders = []
    for rows in (400, None):  # the champion learned from less
        learned = replace(parts, train=parts.train.iloc[:rows])
        model = fit(project, learned, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))
        folders.append(export(model, learned, tmp_path / str(rows)).folder)
    figures, pictures = _shown(project, folders[1], parts.test, folders[0])
    rivals = figures.rivals
    assert rivals is not None
    assert {each.metric for each in rivals.metrics} == set(METRICS[project.spec.task])
    assert (rivals.metrics[0].metric, rivals.metrics[0].margin) == (judged, 0.5)
    assert 0 < rivals.replay.flips < rivals.replay.rows == len(parts.test)
    assert sum(each.rows for each in rivals.replay.segments if each.column == "express") == rivals.replay.rows
    assert (rivals.replay.tolerance is not None) == (task == "regression")
    assert (rivals.champion is not None) == (rivals.challenger is not None) == (task == "binary")
    assert figures.footprints.champion is not None
    assert figures.price == Price(amount=0.04, currency="USD")
    assert pictures == {"differences.svg", "flips.svg"} | ({"reliability.svg"} if task == "binary" else set())
    again, _ = _shown(project, folders[1], parts.test, folders[0])
    assert again.rivals == rivals
    same, _ = _shown(project, folders[1], parts.test, folders[1])
    assert same.rivals is not None
    assert (same.rivals.replay.flips, same.rivals.replay.digest) == (0, rivals.replay.digest)
    alone, nothing = _shown(project, folders[1], parts.test, None)
    assert (alone.rivals, alone.silence) == (None, "There is no champion to compare with yet")
    assert nothing == set()


def test_a_champion_that_answers_another_question_is_silent_but_weighed(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Inconclusive, with the reason in words; what both cost can still be said."""
    project = new_project()
    gate = ComparisonGate(metric="roc_auc", against="champion")
    project = Project(project.root, project.spec.model_copy(update={"gates": (gate,)}))
    other = Project(
        project.root,
        project.spec.model_copy(
            update={"task": "regression", "target": "items", "exclude": ("refund_days", "returned")}
        ),
    )
    folders = []
    for each, name in ((project, "new"), (other, "old")):
        parts = split(each, validate(each, load(each)).frame)
        model = fit(each, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))
        folders.append(export(model, parts, tmp_path / name).folder)
    test = split(project, validate(project, load(project)).frame).test
    found = assess_against(project, folders[0], test, CHAMPION, folders[1])
    assert found is not None
    figures = ComparisonFigures.model_validate(found.details)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "it predicts regression “items”" in (figures.silence or "")
    assert figures.footprints.champion is not None
