import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from towpath_flows import registration
from towpath_flows.data import load
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.project import Project
from towpath_flows.recomparison import compare_again
from towpath_flows.registration import Training, next_semver, register
from towpath_flows.training import Exported
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import (
    ConflictError,
    DataContractError,
    InvalidFileError,
    TrainingError,
    UncleanRepositoryError,
)
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.evidence import Finding, Kind, Verdict, gate_digest
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

RED = Assessment(Kind.EVALUATION, (Finding(gate="roc_auc ≥ 0.9", verdict=Verdict.FAIL, message="too low"),))
FIGURES = Assessment(
    Kind.COMPARISON,
    (Finding(gate="roc_auc ≥ champion", verdict=Verdict.PASS, message="better"),),
    {"metrics": {"roc_auc": {"value": 0.8, "low": 0.75, "high": 0.85}}},
)


def _training(project: Project, exported: Exported, **changes: Any) -> Training:  # noqa: ANN401 (fields of any type)
    fields = {
        "model": "returns",
        "folder": exported.folder,
        "signature": exported.signature,
        "code": Repository.discover(project.root).head(),
        "data": "sha256:" + "d" * 64,
        "source": "data/orders.parquet",
        "window": (datetime(2026, 1, 1, tzinfo=UTC), None),
        "params": {"framework": "xgboost", "depth": 6},
        "rows": 1500,
    }
    return Training(**{**fields, **changes})


def _registry(project: Project) -> Registry:
    return Registry(layout.tracking_uri(project.root))


def test_a_registered_model_is_a_release_with_evidence(published: Project, exported: Exported, tmp_path: Path) -> None:
    """What is registered can be found, fetched by digest, and holds its evidence, bound to it and to the gates."""
    release = register(published.root, _training(published, exported), [RED, FIGURES])
    registry = _registry(published)
    assert registry.releases("returns") == [release]
    assert (release.semver, release.version) == ("1.0.0", 1)
    assert manifest_digest(registry.fetch(release, tmp_path / "store")) == release.artifact
    evidence = registry.evidence(release)
    assert evidence[Kind.EVALUATION].verdict is Verdict.FAIL
    document = load_yaml((published.root / "model.yaml").read_text(), source="model.yaml")
    assert evidence[Kind.EVALUATION].gates == gate_digest(document, Kind.EVALUATION)
    assert evidence[Kind.COMPARISON].data == release.data


def test_the_run_tells_where_it_came_from(published: Project, exported: Exported) -> None:
    """The MLflow run holds parameters, metrics with intervals, the data as an input, and lineage as tags."""
    release = register(published.root, _training(published, exported), [FIGURES])
    client = _registry(published).client
    run = client.get_run(client.get_model_version("returns", "1").run_id)
    assert run.data.params["framework"] == "xgboost"
    assert run.data.params["since"] == "2026-01-01T00:00:00+00:00"
    assert run.data.metrics["test_roc_auc_low"] == 0.75
    assert run.data.tags[registration.CODE_TAG] == release.code
    assert run.inputs.dataset_inputs[0].dataset.name == "data/orders.parquet"
    assert run.info.status == "FINISHED"


def test_versions_tell_what_changed(
    published: Project, exported: Exported, commit: Callable[[Path, str], None]
) -> None:
    """Data alone is a patch, promotions do not count as code, code is a minor version, the schema a major one."""
    root, made = published.root, []
    made.append(register(root, _training(published, exported), [RED]))
    made.append(register(root, _training(published, exported, data="sha256:" + "e" * 64), [RED]))
    (root / "gitops" / "note.md").write_text("promoted\n")
    commit(root, "Promote")
    made.append(register(root, _training(published, exported, data="sha256:" + "f" * 64), [RED]))
    (root / "src" / "shop" / "features.py").write_text('"""New features."""\n')
    commit(root, "Think again")
    made.append(register(root, _training(published, exported), [RED]))
    assert [release.semver for release in made] == ["1.0.0", "1.0.1", "1.0.2", "1.1.0"]
    other = exported.signature.model_copy(update={"target": "kept"})
    assert next_semver(made[-1], _training(published, exported, signature=other), sources_changed=True) == "2.0.0"


def test_uncommitted_changes_are_refused(published: Project, exported: Exported) -> None:
    """A release names the commit that made it, so there must be one."""
    training = _training(published, exported)
    (published.root / "model.yaml").write_text("name: other\n")
    with pytest.raises(UncleanRepositoryError, match="uncommitted"):
        register(published.root, training, [RED])
    assert _registry(published).releases("returns") == []


def test_a_moved_head_is_refused(published: Project, exported: Exported, commit: Callable[[Path, str], None]) -> None:
    """When HEAD moved while the model was trained, nobody could say which code made it."""
    training = _training(published, exported)
    (published.root / "README.md").write_text("News.\n")
    commit(published.root, "News")
    with pytest.raises(ConflictError, match="HEAD moved"):
        register(published.root, training, [RED])


@pytest.mark.parametrize("point", ["_create_version", "_log_bound", "_finish"])
def test_nothing_is_half_registered(
    published: Project, exported: Exported, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Whatever fails on the way, no release exists afterwards, the run says failed, and the next attempt succeeds."""
    training = _training(published, exported)
    with monkeypatch.context() as patched:
        patched.setattr(registration, point, _fail)
        with pytest.raises(TrainingError, match="could not be registered"):
            register(published.root, training, [RED])
    registry = _registry(published)
    assert registry.releases("returns") == []
    assert registry.client.search_model_versions("name='returns'") == []
    runs = registry.client.search_runs([registry.client.get_experiment_by_name("returns").experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]
    assert register(published.root, training, [RED]).semver == "1.0.0"


def _fail(*_: object) -> None:
    message = "the disk is full"
    raise OSError(message)


def test_a_version_without_its_tag_does_not_count(published: Project, exported: Exported) -> None:
    """A version that was interrupted before its last tag is ignored, by readers and by the next semantic version."""
    first = register(published.root, _training(published, exported), [RED])
    registry = _registry(published)
    registry.client.delete_model_version_tag("returns", "1", registration.RELEASE_TAG)
    assert registry.releases("returns") == []
    second = register(published.root, _training(published, exported), [RED])
    assert (second.version, second.semver) == (2, first.semver)


# --- comparing again ----------------------------------------------------------------------------------------------


def test_a_release_is_compared_again_with_the_champion_of_today(
    published: Project,
    exported: Exported,
    declare: Callable[[Project, Release], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Old comparison evidence is replaced by one that names the champion of now, on the release's own test rows."""
    table = load(published)
    champion = register(published.root, _training(published, exported, data=table.digest, window=table.window), [RED])
    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(exported.folder, folder)
    (folder / "card.md").write_text("Another one.\n")
    training = _training(published, exported, folder=folder, data=table.digest, window=table.window)
    release = register(published.root, training, [RED])
    assert compare_again(published, release).champion is None
    declare(published, champion)
    evidence = compare_again(published, release)
    assert (evidence.champion, evidence.verdict) == (champion.id, Verdict.PASS)
    assert evidence.details["difference"] == 0
    assert _registry(published).evidence(release)[Kind.COMPARISON].digest == evidence.digest


def test_rows_that_changed_cannot_be_compared_again(published: Project, exported: Exported) -> None:
    """When the rows of then cannot be read again, the test rows might have been learned from: refused."""
    release = register(published.root, _training(published, exported, window=(None, None)), [RED])
    with pytest.raises(DataContractError, match="cannot be read again"):
        compare_again(published, release)


def test_without_a_gate_there_is_nothing_to_compare(
    published: Project, exported: Exported, commit: Callable[[Path, str], None]
) -> None:
    """A model.yaml without a gate against the champion is told of, with the line to add."""
    table = load(published)
    path = published.root / "model.yaml"
    path.write_text(path.read_text().replace("  - {metric: roc_auc, against: champion, margin: 0.05}\n", ""))
    commit(published.root, "No gate")
    project = Project.open(published.root)
    release = register(project.root, _training(project, exported, data=table.digest, window=table.window), [RED])
    with pytest.raises(InvalidFileError, match="no gate against the champion"):
        compare_again(project, release)
