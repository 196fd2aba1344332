import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from towpath_flows import registration
from towpath_flows.data import load
from towpath_flows.data.sources import Input
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.project import Project
from towpath_flows.recomparison import compare_again
from towpath_flows.registration import Training, find_same, next_semver, register
from towpath_flows.training import Exported, Trial
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import (
    ConflictError,
    DataContractError,
    InvalidFileError,
    TrainingError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.records import figures
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


def test_every_trial_is_a_nested_run(published: Project, exported: Exported) -> None:
    """Each has its parameters, loss, times and end; the training's own run has the search's course and plot."""
    began = datetime(2026, 3, 1, 12, tzinfo=UTC)
    trials = (
        Trial(0, "xgboost", {"max_depth": 6}, 0.3, 2.0, 40, began),
        Trial(1, "lightgbm", {"num_leaves": 31, "extra_trees": True}, 0.2, 3.0, 50, began),
        Trial(2, "xgboost", {"max_depth": 3}, None, 1.0, None, began),
    )
    release = register(published.root, _training(published, exported, trials=trials), [])
    client = _registry(published).client
    parent = client.get_model_version("returns", str(release.version)).run_id
    experiment = client.get_run(parent).info.experiment_id
    nested = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'", order_by=["start_time"])
    runs = {run.info.run_name: run for run in nested}
    assert set(runs) == {"trial 0 (xgboost)", "trial 1 (lightgbm)", "trial 2 (xgboost)"}
    second, third = runs["trial 1 (lightgbm)"], runs["trial 2 (xgboost)"]
    assert second.data.params == {"framework": "lightgbm", "num_leaves": "31", "extra_trees": "True"}
    assert second.data.metrics == {"loss": 0.2, "rounds": 50, "seconds": 3}
    assert (second.info.start_time, second.info.end_time - second.info.start_time) == (began.timestamp() * 1000, 3000)
    assert (second.info.status, third.info.status) == ("FINISHED", "KILLED")
    assert "loss" not in third.data.metrics
    course = client.get_metric_history(parent, "least_loss")
    assert [(point.step, point.value) for point in course] == [(0, 0.3), (1, 0.2)]
    picture = Path(client.download_artifacts(parent, "tuning/history.svg")).read_text()
    assert picture.count("<svg") == 1


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
    assert _registry(published).lineage(release).inputs == ()


def test_what_was_read_is_remembered_to_the_byte(published: Project, exported: Exported) -> None:
    """Each input is one of MLflow's datasets, and the record beside the artifact names the release it is of."""
    read = (Input("data/a.parquet", "sha256:" + "1" * 64, 12), Input("s3://shop/b.csv", "sha256:" + "2" * 64, 34))
    release = register(published.root, _training(published, exported, inputs=read), [FIGURES])
    registry = _registry(published)
    record = registry.lineage(release)
    assert record is not None
    assert [(each.uri, each.digest, each.size_bytes) for each in record.inputs] == [
        (each.uri, each.digest, each.size_bytes) for each in read
    ]
    assert (record.release, record.data, record.code) == (release.id, release.data, release.code)
    run = registry.client.get_run(registry.client.get_model_version("returns", "1").run_id)
    names = {each.dataset.name: each.dataset.source_type for each in run.inputs.dataset_inputs}
    assert names == {"data/orders.parquet": "local", "data/a.parquet": "local", "s3://shop/b.csv": "s3"}
    assert run.info.status == "FINISHED"


def test_artifacts_go_where_a_setting_says(
    published: Project, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket or a folder of one's own, by MLflow's own variable; without it they lie in the repository's state."""
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "bucket").as_uri())
    register(published.root, _training(published, exported), [RED])
    assert list((tmp_path / "bucket").rglob("model.onnx"))
    assert not layout.mlartifacts(published.root).exists()


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


def test_the_same_training_is_known_by_its_rows_and_its_code(
    published: Project, exported: Exported, commit: Callable[[Path, str], None]
) -> None:
    """A promotion changes nothing that is trained; other rows, parameters or code do. Red gates make no difference."""
    root, training = published.root, _training(published, exported)
    assert find_same(root, "returns", training.data, training.code) is None
    release = register(root, training, [RED])
    again = register(root, training, [RED])
    assert find_same(root, "returns", training.data, training.code) == again
    assert find_same(root, "returns", "sha256:" + "e" * 64, training.code) is None
    (root / "gitops" / "note.md").write_text("promoted\n")
    commit(root, "Promote")
    assert find_same(root, "returns", training.data, Repository.discover(root).head()) == again
    path = root / "model.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: 8"))
    commit(root, "Another seed")
    assert find_same(root, "returns", training.data, Repository.discover(root).head()) is None
    assert find_same(root, "returns", training.data, release.code) == again


def test_a_commit_that_is_not_here_counts_as_another(published: Project, exported: Exported) -> None:
    """In a shallow clone nobody can say that nothing has changed, so it is trained."""
    missing = "0" * 40
    root, training = published.root, _training(published, exported)
    release = register(root, training, [RED]).model_copy(update={"code": missing})
    _registry(published).client.set_model_version_tag(
        "returns", "1", registration.RELEASE_TAG, release.model_dump_json(by_alias=True)
    )
    assert find_same(root, "returns", training.data, training.code) is None


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


def test_a_model_that_has_releases_is_not_made_again(
    published: Project, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would read all its versions, to refuse it in the end."""
    training, registry = _training(published, exported), _registry(published)
    register(published.root, training, [RED])
    monkeypatch.setattr(type(registry.client), "create_registered_model", _fail)
    assert register(published.root, training, [RED]).version == 2


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


class _Dying:
    """An MLflow client whose database dies during its call number `fatal`: that is done, and not answered any more."""

    def __init__(self, client: Any, fatal: int) -> None:  # noqa: ANN401 (MLflow has no types)
        self.client, self.fatal, self.calls = client, fatal, 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (as above)
        def call(*arguments: object, **named: object) -> object:
            self.calls += 1
            answer = getattr(self.client, name)(*arguments, **named) if self.calls <= self.fatal else None
            if self.calls >= self.fatal:
                raise ConnectionError(name)
            return answer

        return call


def test_wherever_mlflow_dies_the_next_try_leaves_one_release(
    published: Project, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death during each of its calls in turn is told as what may be tried again, and loses and doubles nothing."""
    registry, survived, fatal = _registry(published), False, 0
    while not survived:
        fatal += 1
        training = _training(published, exported, attempt=f"attempt-{fatal}")
        dying = _Dying(registry.client, fatal)
        with monkeypatch.context() as patched, suppress(UnavailableError):
            patched.setattr(Registry, "client", dying)
            register(published.root, training, [RED])
            survived = True
        release = register(published.root, training, [RED])
        releases = registry.releases("returns")
        assert (len(releases), releases[0]) == (fatal, release)
    assert fatal > 15
    assert len(registry.client.search_model_versions("name='returns'")) == fatal
    experiment = registry.client.get_experiment_by_name("returns").experiment_id
    states = Counter(run.info.status for run in registry.client.search_runs([experiment]))
    assert (states["FINISHED"], states["RUNNING"]) == (fatal, 0)


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
    rivals = figures.read(evidence, figures.ComparisonFigures).rivals
    assert rivals is not None
    assert (rivals.metrics[0].difference, rivals.replay.flips) == (0, 0)
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
