"""A run's artifacts become a registered `Release` with its evidence, or nothing at all.

Everything goes into one MLflow run: parameters, metrics, the training data as a dataset input, lineage as tags, the
artifact under `model/`, the evidence under `evidence/`. The version's `towpath.release` tag is written last; a version
without it does not exist for anybody (`towpath_gitops.delivery.registry`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from towpath_flows.evaluation.assessment import Assessment
from towpath_gitops import layout
from towpath_gitops.delivery.registry import (
    ARTIFACT_PATH,
    EVIDENCE_PATH,
    ID_TAG,
    RELEASE_TAG,
    SEMVER_TAG,
    Registry,
)
from towpath_gitops.errors import ConflictError, TowpathError, TrainingError
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature
from towpath_gitops.repository import Repository

FIRST: Final = "1.0.0"
DATA_TAG: Final = "towpath.data"
CODE_TAG: Final = "towpath.code"
WINDOW_PARAMS: Final = ("since", "until")  # run parameters from which the same rows can be read again
_LONGEST_PARAM: Final = 6000  # characters that MLflow keeps of a parameter


@dataclass(frozen=True)
class Training:
    """What is registered: the artifact's folder and what is known about how it came to be."""

    model: str
    folder: Path
    signature: Signature
    code: str
    data: str
    source: str
    window: tuple[datetime | None, datetime | None]
    params: Mapping[str, object]
    rows: int


def register(root: Path, training: Training, assessments: Sequence[Assessment]) -> Release:
    """Register a model in the repository's MLflow and bind its evidence to it.

    A model whose gates fail is registered too, with its red evidence: it can be looked at and never promoted.

    Raises:
        UnavailableError: MLflow does not answer.
        TrainingError: MLflow refuses something; what was begun is taken back.
        UncleanRepositoryError: there are uncommitted changes.
        ConflictError: the repository's HEAD moved while the model was trained.
    """
    _check_code(root, training.code)
    registry = Registry(layout.tracking_uri(root))
    known = registry.releases(training.model)
    semver = next_semver(known[0] if known else None, training, _sources_changed(root, known, training.code))
    run = _begin(registry.client, root, training, assessments)
    version: str | None = None
    try:
        version = _create_version(registry.client, training.model, run)
        release = _release(training, int(version), semver)
        _log_bound(registry.client, root, run, release, assessments)
        _finish(registry.client, run, release)
    except BaseException as error:
        _take_back(registry.client, training.model, version, run.info.run_id)
        if isinstance(error, TowpathError) or not isinstance(error, Exception):
            raise
        raise TrainingError("The model could not be registered", why=f"{type(error).__name__}: {error}") from error
    return release


def next_semver(newest: Release | None, training: Training, sources_changed: bool) -> str:  # noqa: FBT001 (a fact)
    """Return the semantic version after `newest`: what a caller or reader must expect to be different.

    Major: the input schema changed. Minor: the code or its parameters did (anything outside `gitops/`, so also
    model.yaml). Patch: only the data did. Parameters that the search found are an outcome of code and data.
    """
    if newest is None:
        return FIRST
    major, minor, patch = map(int, newest.semver.split("."))
    if newest.input_schema != training.signature.digest:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if sources_changed else f"{major}.{minor}.{patch + 1}"


def _check_code(root: Path, code: str) -> None:
    repository = Repository.discover(root)
    repository.require_clean()
    head = repository.head()
    if head != code:
        raise ConflictError(
            "HEAD moved while the model was trained",
            why=f"Training began at {code[:12]}, HEAD is {head[:12]}: nobody could say which code made the model.",
            hint="Train again, and commit before or after.",
        )


def _sources_changed(root: Path, known: Sequence[Release], code: str) -> bool:
    """Say whether anything but `gitops/` (which every promotion edits) differs from the newest release's code."""
    if not known or known[0].code == code:
        return False
    repository = Repository.discover(root)
    if repository.resolve(known[0].code) is None:
        return True
    changed = repository.changed(known[0].code, code)
    return any(not path.startswith(f"{layout.GITOPS}/") for path in changed)


def _release(training: Training, version: int, semver: str) -> Release:
    return Release(
        model=training.model,
        version=version,
        semver=semver,
        artifact=manifest_digest(training.folder),
        input_schema=training.signature.digest,
        data=training.data,
        code=training.code,
    )


def _begin(client: Any, root: Path, training: Training, assessments: Sequence[Assessment]) -> Any:  # noqa: ANN401 (MLflow has no types)
    """Start a run and log what does not depend on the release's id."""
    run = client.create_run(_experiment(client, root, training.model), run_name=None, tags=_tags(training))
    try:
        _log_figures(client, run.info.run_id, training, assessments)
        client.log_artifacts(run.info.run_id, str(training.folder), ARTIFACT_PATH)
    except BaseException:
        _take_back(client, training.model, None, run.info.run_id)
        raise
    return run


def _experiment(client: Any, root: Path, model: str) -> str:  # noqa: ANN401 (MLflow has no types)
    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    local = layout.tracking_uri(root).startswith("sqlite:")
    location = layout.mlartifacts(root).resolve().as_uri() if local else None
    return str(client.create_experiment(model, artifact_location=location))


def _tags(training: Training) -> dict[str, str]:
    return {
        "mlflow.source.git.commit": training.code,
        CODE_TAG: training.code,
        DATA_TAG: training.data,
        "towpath.schema": training.signature.digest,
        "towpath.engine": training.signature.engine,
    }


def _log_figures(client: Any, run_id: str, training: Training, assessments: Sequence[Assessment]) -> None:  # noqa: ANN401 (MLflow has no types)
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param  # noqa: PLC0415 (takes seconds)

    now = int(datetime.now(UTC).timestamp() * 1000)
    window = {
        name: moment.isoformat() if moment else "" for name, moment in zip(WINDOW_PARAMS, training.window, strict=True)
    }
    params = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in {**training.params, **window}.items()]
    metrics = [Metric(key, value, now, 0) for key, value in _metrics(assessments).items()]
    client.log_batch(run_id, metrics=metrics, params=params)
    dataset = Dataset(
        name=training.source[-500:],
        digest=training.data.removeprefix("sha256:")[:36],
        source_type="local",
        source=f'{{"uri": "{training.source}"}}',
        profile=f'{{"num_rows": {training.rows}}}',
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _metrics(assessments: Sequence[Assessment]) -> dict[str, float]:
    """Return every metric with the ends of its interval, for MLflow's own comparison pages."""
    found: dict[str, float] = {}
    for assessment in assessments:
        for name, figures in assessment.details.get("metrics", {}).items():
            found[f"test_{name}"] = figures["value"]
            found[f"test_{name}_low"], found[f"test_{name}_high"] = figures["low"], figures["high"]
    return found


def _create_version(client: Any, model: str, run: Any) -> str:  # noqa: ANN401 (MLflow has no types)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

    with suppress(MlflowException):  # it exists, or the next call says what is wrong
        client.create_registered_model(model)
    source = f"{run.info.artifact_uri}/{ARTIFACT_PATH}"
    return str(client.create_model_version(model, source, run_id=run.info.run_id).version)


def _log_bound(client: Any, root: Path, run: Any, release: Release, assessments: Sequence[Assessment]) -> None:  # noqa: ANN401 (MLflow has no types)
    document = load_yaml((root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
    now = datetime.now(UTC)
    for assessment in assessments:
        evidence = assessment.bind(release, document, now)
        text = evidence.model_dump_json(by_alias=True, indent=2) + "\n"
        client.log_text(run.info.run_id, text, f"{EVIDENCE_PATH}/{evidence.kind}.json")
    client.log_text(run.info.run_id, release.model_dump_json(by_alias=True, indent=2) + "\n", "release.json")


def _finish(client: Any, run: Any, release: Release) -> None:  # noqa: ANN401 (MLflow has no types)
    version = str(release.version)
    client.set_tag(run.info.run_id, "mlflow.runName", f"{release.semver} ({release.short_id})")
    client.set_terminated(run.info.run_id, status="FINISHED")
    client.set_model_version_tag(release.model, version, ID_TAG, release.id)
    client.set_model_version_tag(release.model, version, SEMVER_TAG, release.semver)
    client.set_model_version_tag(release.model, version, RELEASE_TAG, release.model_dump_json(by_alias=True))


def _take_back(client: Any, model: str, version: str | None, run_id: str) -> None:  # noqa: ANN401 (MLflow has no types)
    """Delete the half-made version and mark the run as failed, as far as MLflow still answers.

    What cannot be deleted is ignored by everyone: it has no release tag.
    """
    if version is not None:
        with suppress(Exception):
            client.delete_model_version(model, version)
    with suppress(Exception):
        client.set_terminated(run_id, status="FAILED")
