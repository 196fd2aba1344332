"""An inferred table goes all the way, whatever its task: graph, evidence, registered release, monitor."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from towpath_flows.data import contract, load, quality, split
from towpath_flows.evaluation.judgement import assess_behaviour, assess_worth
from towpath_flows.inference import Wishes, infer, write
from towpath_flows.monitoring.monitor import watch
from towpath_flows.project import Project
from towpath_flows.registration import Training, register
from towpath_flows.training import export, fit, tune
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.repository import Repository


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder outside of the repository."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture
def describe(
    published: Project, commit: Callable[[Path, str], None], awkward: Callable[..., pd.DataFrame], elsewhere: Path
) -> Callable[[str], Project]:
    """Return a function that infers and commits what model.yaml says of the awkward table and a target of it."""

    def inferred(target: str) -> Project:
        file = elsewhere / "table.csv"
        awkward(600).to_csv(file, index=False)
        write(published.root, file, infer(published.root, file, Wishes(target)), force=True)
        text = (published.root / "model.yaml").read_text()
        (published.root / "model.yaml").write_text(re.sub(r"trials: \d+", "trials: 0", text))
        commit(published.root, "Describe another table")
        return Project.open(published.root)

    return inferred


@pytest.mark.parametrize(
    ("target", "task"), [("kind", "multiclass"), ("def", "regression"), ("label text", "binary")], ids=lambda name: name
)
def test_an_inferred_table_becomes_a_release_that_can_be_watched(
    target: str, task: str, describe: Callable[[str], Project], elsewhere: Path
) -> None:
    """One graph serves it, every finding passes, and the very rows have not drifted from it, nor lost accuracy."""
    project = describe(target)
    assert project.spec.task == task
    table = load(project)
    rows = contract.validate(project, table)
    parts = split(project, rows.frame)
    exported = export(fit(project, parts, tune(project, parts)), parts, elsewhere / "artifact")
    assert exported.signature.engine == "onnx"
    worth, behaviour = (judge(project, exported.folder, parts.test) for judge in (assess_worth, assess_behaviour))
    assert behaviour
    findings = [*quality.inspect(project, rows, parts).findings, *exported.parity, *worth.findings, *behaviour.findings]
    assert [finding.message for finding in findings if finding.verdict is not Verdict.PASS] == []
    training = Training(
        model=project.spec.name,
        folder=exported.folder,
        signature=exported.signature,
        code=Repository.discover(project.root).head(),
        data=table.digest,
        source=table.source,
        window=table.window,
        params={},
        rows=len(table.frame),
    )
    release = register(project.root, training, [worth, behaviour])
    report = watch(project, release, table)
    assert report.outcome == "fine"
    assert report.performance
