"""A run's artifacts become a registered `Release` with its evidence, or nothing at all.

Everything goes into one MLflow run: parameters, metrics, the training data as a dataset input, lineage as tags, the
artifact under `model/`, the evidence under `evidence/`; trials are runs nested in it. The version's `towpath.release`
tag is written last; a version without it does not exist for anybody (`towpath_gitops.delivery.registry`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from towpath_flows import lineage
from towpath_flows.cards import SHOWN, published
from towpath_flows.data.sources.base import Input
from towpath_flows.evaluation.assessment import Assessment, one_line
from towpath_flows.recipe import RECIPE, Recipe
from towpath_flows.training.trials import Trial
from towpath_flows.trial_runs import log_trials
from towpath_gitops import layout
from towpath_gitops.delivery.owners_code import check_code
from towpath_gitops.delivery.registry import (
    ARTIFACT_PATH,
    CARD_PATH,
    EVIDENCE_PATH,
    ID_TAG,
    LINEAGE_PATH,
    RELEASE_TAG,
    SEMVER_TAG,
    SIGNATURE_PATH,
    Registry,
)
from towpath_gitops.errors import ConflictError, TowpathError, TrainingError, UnavailableError
from towpath_gitops.promotion.dossier import Past
from towpath_gitops.records.artifact import manifest, manifest_digest
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.lineage import Lineage
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature
from towpath_gitops.redaction import redacted
from towpath_gitops.repository import Repository
from towpath_gitops.signers import configured
from towpath_gitops.signing import RELEASE_FILE, sign

FIRST: Final = "1.0.0"
DATA_TAG: Final = "towpath.data"
CODE_TAG: Final = "towpath.code"
ATTEMPT_TAG: Final = "towpath.attempt"
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
    trials: Sequence[Trial] = ()
    cost: Mapping[str, float] = field(default_factory=dict)  # seconds and bytes, as evaluation.cost names them
    attempt: str = ""  # names this training, so that a registration that is tried again knows what it has left behind
    recipe: Recipe | None = None
    inputs: Sequence[Input] = ()


def register(root: Path, training: Training, assessments: Sequence[Assessment]) -> Release:
    """Register a model in the repository's MLflow and bind its evidence to it.

    A model whose gates fail is registered too, with its red evidence: it can be looked at and never promoted.

    Raises:
        UnavailableError: MLflow does not answer. Trying again with the same `attempt` leaves one release in the end.
        TrainingError: MLflow refuses something; what was begun is taken back.
        UncleanRepositoryError: there are uncommitted changes.
        ConflictError: the repository's HEAD moved while the model was trained.
        DigestMismatchError: the model carries code that the commit does not hold.
        InvalidFileError, NotFoundError: the signing key that the environment names cannot be used.
    """
    _require_head(root, training.code)
    check_code(Repository.discover(root), training.code, training.folder)
    registry = Registry(layout.tracking_uri(root))
    known = registry.releases(training.model)
    semver = next_semver(known[0] if known else None, training, _sources_changed(root, known, training.code))
    run: Any = None
    try:
        experiment = _experiment(registry.client, root, training.model)
        if done := _made_before(registry.client, experiment, training, known):
            return done
        run = registry.client.create_run(experiment, run_name=None, tags=_tags(training))
        _log_unbound(registry.client, run, training, assessments)
        version = _create_version(registry.client, training.model, run, new=not known)
        release = _release(training, version, semver)
        _log_bound(registry.client, root, run, release, assessments)
        record = lineage_of(training, release).model_dump_json(by_alias=True, indent=2) + "\n"
        registry.client.log_text(run.info.run_id, record, LINEAGE_PATH)
        _sign(registry.client, run, release, training.folder)
        _publish_card(registry, run, release, training, known, assessments)
        _finish(registry.client, run, release)
    except BaseException as error:
        if run is not None:
            _take_back(registry.client, training.model, run.info.run_id)
        if isinstance(error, TowpathError) or not isinstance(error, Exception):
            raise
        why = f"{type(error).__name__}: {error}"
        if _went_away(error):
            raise UnavailableError(
                "MLflow went away while the model was registered",
                why=redacted(why)[:500],
                hint="What was begun does not count. Try again when it answers.",
            ) from error
        raise TrainingError("The model could not be registered", why=why) from error
    return release


def find_same(root: Path, model: str, data: str, code: str) -> Release | None:
    """Return the newest release that was trained on rows of the digest `data` by what is the same as the commit `code`.

    Two commits are the same when they differ in `gitops/` at most: model.yaml, with the parameters and the seed, and
    the lock of the environment are in them. A commit that this clone does not have counts as another. What its gates
    refused was trained as well: training again would give it again.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    known = [release for release in Registry(layout.tracking_uri(root)).releases(model) if release.data == data]
    return next((release for release in known if not _sources_changed(root, [release], code)), None)


def lineage_of(training: Training, release: Release) -> Lineage:
    """Return the record of what a release was made from."""
    since, until = training.window
    return Lineage(
        release=release.id,
        source=one_line(training.source) or "(unknown)",
        data=training.data,
        rows=training.rows,
        since=since,
        until=until,
        inputs=lineage.inputs_of(training.inputs),
        code=training.code,
        tool=f"towpath {version('towpath')}",
        created=datetime.now(UTC),
    )


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


def _require_head(root: Path, code: str) -> None:
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


def _made_before(client: Any, experiment: str, training: Training, known: Sequence[Release]) -> Release | None:  # noqa: ANN401 (MLflow has no types)
    """Return the release that an earlier try of this registration has made after all, its last answer lost.

    What an earlier try has left half-made is taken back.
    """
    if not training.attempt:
        return None
    for run in client.search_runs([experiment], f"tags.`{ATTEMPT_TAG}` = '{training.attempt}'"):
        versions = {int(each.version) for each in _versions_of(client, training.model, run.info.run_id)}
        if done := next((release for release in known if release.version in versions), None):
            return done
        _take_back(client, training.model, run.info.run_id)
    return None


def _went_away(error: BaseException | None) -> bool:
    """Say whether MLflow, or the database below it, did not answer, rather than refused."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)
    from sqlalchemy.exc import InterfaceError, OperationalError  # noqa: PLC0415 (takes long; comes with MLflow)

    while error is not None:
        if isinstance(error, InterfaceError | OperationalError | ConnectionError):
            return True
        if isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE":
            return True
        error = error.__cause__ or error.__context__
    return False


def _log_unbound(client: Any, run: Any, training: Training, assessments: Sequence[Assessment]) -> None:  # noqa: ANN401 (MLflow has no types)
    """Log what does not depend on the release's id."""
    _log_figures(client, run.info.run_id, training, assessments)
    log_trials(client, run, training.trials)
    if training.recipe is not None:
        client.log_text(run.info.run_id, training.recipe.model_dump_json(indent=1), RECIPE)
    client.log_artifacts(run.info.run_id, str(training.folder), ARTIFACT_PATH)


def _experiment(client: Any, root: Path, model: str) -> str:  # noqa: ANN401 (MLflow has no types)
    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    served = layout.tracking_uri(root).startswith("http")  # a server knows where; a database would say ./mlruns
    location = None if served else layout.artifact_root(root)
    return str(client.create_experiment(model, artifact_location=location))


def _tags(training: Training) -> dict[str, str]:
    return {
        ATTEMPT_TAG: training.attempt,
        "mlflow.source.git.commit": training.code,
        CODE_TAG: training.code,
        DATA_TAG: training.data,
        "towpath.schema": training.signature.digest,
        "towpath.engine": training.signature.engine,
    }


def _log_figures(client: Any, run_id: str, training: Training, assessments: Sequence[Assessment]) -> None:  # noqa: ANN401 (MLflow has no types)
    from mlflow.entities import Metric, Param  # noqa: PLC0415 (takes seconds)

    now = int(datetime.now(UTC).timestamp() * 1000)
    window = {
        name: moment.isoformat() if moment else "" for name, moment in zip(WINDOW_PARAMS, training.window, strict=True)
    }
    params = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in {**training.params, **window}.items()]
    measured = {**_metrics(assessments), **training.cost}
    metrics = [Metric(key, value, now, 0) for key, value in measured.items()]
    client.log_batch(run_id, metrics=metrics, params=params)
    client.log_inputs(run_id, lineage.datasets(training.source, training.data, training.rows, training.inputs))


def _metrics(assessments: Sequence[Assessment]) -> dict[str, float]:
    """Return every metric with the ends of its interval, for MLflow's own comparison pages."""
    found: dict[str, float] = {}
    for assessment in assessments:
        for name, figures in assessment.details.get("metrics", {}).items():
            found[f"test_{name}"] = figures["value"]
            found[f"test_{name}_low"], found[f"test_{name}_high"] = figures["low"], figures["high"]
    return found


def _create_version(client: Any, model: str, run: Any, *, new: bool) -> int:  # noqa: ANN401 (MLflow has no types)
    """Create a version of the model, and a `new` model first: MLflow reads all versions to refuse one that exists."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

    if new:
        with suppress(MlflowException):  # it exists, or the next call says what is wrong
            client.create_registered_model(model)
    source = f"{run.info.artifact_uri}/{ARTIFACT_PATH}"
    return int(client.create_model_version(model, source, run_id=run.info.run_id).version)


def _versions_of(client: Any, model: str, run_id: str) -> list[Any]:  # noqa: ANN401 (MLflow has no types)
    return [each for each in client.search_model_versions(f"run_id='{run_id}'") if each.name == model]


def _log_bound(client: Any, root: Path, run: Any, release: Release, assessments: Sequence[Assessment]) -> None:  # noqa: ANN401 (MLflow has no types)
    document = load_yaml((root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
    now = datetime.now(UTC)
    for assessment in assessments:
        evidence = assessment.bind(release, document, now)
        text = evidence.model_dump_json(by_alias=True, indent=2) + "\n"
        client.log_text(run.info.run_id, text, f"{EVIDENCE_PATH}/{evidence.kind}.json")
    client.log_text(run.info.run_id, canonical_json(release.plain()).decode(), RELEASE_FILE)  # its digest is the id


def _publish_card(  # noqa: PLR0913, PLR0917 (a card tells of everything)
    registry: Registry,
    run: Any,  # noqa: ANN401 (MLflow has no types)
    release: Release,
    training: Training,
    known: Sequence[Release],
    assessments: Sequence[Assessment],
) -> None:
    """Keep, beside the artifact, its card with what would change its bytes: the release, its cost, those before it."""
    past = [Past(release, _metrics(assessments)), *(Past(each, registry.metrics(each)) for each in known[: SHOWN - 1])]
    for name, text in published(training.folder, release, assessments, training.cost, past):
        registry.client.log_text(run.info.run_id, text, f"{CARD_PATH}/{name}")


def _sign(client: Any, run: Any, release: Release, folder: Path) -> None:  # noqa: ANN401 (MLflow has no types)
    """Sign the release with the key that the environment names; without one, `towpath sign` can do so later."""
    key = configured()
    if key is not None:
        client.log_text(run.info.run_id, sign(release, manifest(folder), key).decode(), SIGNATURE_PATH)


def _finish(client: Any, run: Any, release: Release) -> None:  # noqa: ANN401 (MLflow has no types)
    version = str(release.version)
    client.set_tag(run.info.run_id, "mlflow.runName", f"{release.semver} ({release.short_id})")
    client.set_terminated(run.info.run_id, status="FINISHED")
    client.set_model_version_tag(release.model, version, ID_TAG, release.id)
    client.set_model_version_tag(release.model, version, SEMVER_TAG, release.semver)
    client.set_model_version_tag(release.model, version, RELEASE_TAG, release.model_dump_json(by_alias=True))


def _take_back(client: Any, model: str, run_id: str) -> None:  # noqa: ANN401 (MLflow has no types)
    """Delete the half-made version and mark the run as failed, as far as MLflow still answers.

    What cannot be deleted is ignored by everyone: it has no release tag.
    """
    with suppress(Exception):
        for version in _versions_of(client, model, run_id):
            client.delete_model_version(model, version.version)
    with suppress(Exception):
        client.set_terminated(run_id, status="FAILED")
