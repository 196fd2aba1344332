"""Compare a registered release with today's champion: the champion moved since, and old comparisons have expired."""

from datetime import UTC, datetime
from typing import Final

from towpath_flows.data import load, split, validate
from towpath_flows.data.splits import Splits
from towpath_flows.evaluation.judgement import assess_against
from towpath_flows.evaluation.scoring import Scorer, find_champion
from towpath_flows.project import Project
from towpath_flows.registration import WINDOW_PARAMS
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import DataContractError, InvalidFileError, RefusedError
from towpath_gitops.records.base import short
from towpath_gitops.records.evidence import Evidence
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release

_HINT: Final = "Train again: the new release is compared with today's champion."


def compare_again(project: Project, release: Release, *, now: datetime | None = None) -> Evidence:
    """Compare `release` with the champion on the test rows of the release's own training, and publish the evidence.

    The rows are read again as they were then (same window, same digest), so that the release has never seen the test
    rows. The gates are those of model.yaml as it is now.

    Raises:
        RefusedError: it is the champion itself.
        DataContractError: the rows of then cannot be read again, or no longer fit the schema.
        InvalidFileError: model.yaml has no gate against the champion.
        UnavailableError, NotFoundError, DigestMismatchError: as the registry and the git remote say.
    """
    registry = Registry(layout.tracking_uri(project.root))
    champion = find_champion(project.root, project.spec.name)
    if champion and champion.id == release.id:
        raise RefusedError(f"{release} is the champion itself", why="There is nothing to compare it with.")
    candidate = Scorer.fetch(project.root, release).folder
    opposed = Scorer.fetch(project.root, champion).folder if champion else None
    parts = _parts(project, registry, release)
    assessment = assess_against(project, candidate, parts.test, champion, opposed)
    if assessment is None:
        raise InvalidFileError(
            f"{layout.MODEL} has no gate against the champion",
            hint="Add one under `gates`, such as {metric: roc_auc, against: champion, margin: 0.002}.",
        )
    document = load_yaml((project.root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
    evidence = assessment.bind(release, document, now or datetime.now(UTC))
    registry.publish_evidence(release, evidence)
    return evidence


def _parts(project: Project, registry: Registry, release: Release) -> Splits:
    """Read and cut the rows of a release's training again."""
    since, until = window_of(registry, release)
    table = load(without_window(project), since=since, until=until)
    if table.digest != release.data:
        raise DataContractError(
            f"The rows that {release} was trained on cannot be read again",
            why=f"{table.source} now gives rows with the digest {short(table.digest)}, then {short(release.data)}.",
            hint=_HINT,
        )
    return split(project, validate(project, table).frame)


def without_window(project: Project) -> Project:
    """Leave the choice of rows to the caller: what model.yaml asks for today may be another window."""
    data = project.spec.data.model_copy(update={"window": None})
    return Project(project.root, project.spec.model_copy(update={"data": data}))


def window_of(registry: Registry, release: Release) -> tuple[datetime | None, datetime | None]:
    """Return the window of the rows that a release was trained on."""
    version = registry.client.get_model_version(release.model, str(release.version))
    params = registry.client.get_run(version.run_id).data.params
    since, until = (datetime.fromisoformat(params[name]) if params.get(name) else None for name in WINDOW_PARAMS)
    return since, until
