"""Comparison evidence made anew, against the champion of today, on the test rows that a release was judged by."""

from datetime import UTC, datetime
from pathlib import Path

from towpath_flows.data import load, split, validate
from towpath_flows.evaluation.judgement import assess_against
from towpath_flows.evaluation.scoring import find_champion
from towpath_flows.project import Project
from towpath_flows.registration import WINDOW_PARAMS
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import NotFoundError, RefusedError
from towpath_gitops.records.evidence import Evidence
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release


def compare_again(root: Path, registry: Registry, release: Release) -> Evidence:
    """Compare `release` with what main declares in the last environment; publish and return the evidence.

    Raises:
        RefusedError: it is the champion itself, or no gate of model.yaml compares with the champion.
        NotFoundError: the rows that it was trained from are not here any more.
        DataContractError, DigestMismatchError, UnavailableError: as reading the rows and fetching releases.
    """
    project = _without_window(Project.open(root))
    champion = find_champion(root, release.model)
    if champion and champion.id == release.id:
        raise RefusedError(f"{release} is the champion itself", why="There is nothing to compare it with.")
    since, until = _window(registry, release)
    table = load(project, since=since, until=until)
    if table.digest != release.data:
        raise NotFoundError(
            f"The rows from which {release} was trained are not here",
            why=f"{table.source} now holds other rows (data {table.digest[7:19]}, not {release.data[7:19]}).",
            hint="Bring that data back, or train a new release: towpath train",
        )
    test = split(project, validate(project, table).frame).test
    store = layout.store(root)
    folders = [registry.fetch(each, store) if each else None for each in (release, champion)]
    assessment = assess_against(project, folders[0] or store, test, champion, folders[1])
    if assessment is None:
        raise RefusedError("No gate of model.yaml compares with the champion", hint="Add one with `against: champion`.")
    document = load_yaml((root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
    evidence = assessment.bind(release, document, datetime.now(UTC))
    registry.publish_evidence(release, evidence)
    return evidence


def _without_window(project: Project) -> Project:
    """Return the project with the rows left to the caller: what model.yaml asks for today may be another window."""
    data = project.spec.data.model_copy(update={"window": None})
    return Project(project.root, project.spec.model_copy(update={"data": data}))


def _window(registry: Registry, release: Release) -> tuple[datetime | None, datetime | None]:
    """Return from when until when the rows of a release's training were; None is open."""
    version = registry.client.get_model_version(release.model, str(release.version))
    params = registry.client.get_run(version.run_id).data.params
    since, until = (params.get(name, "") for name in WINDOW_PARAMS)
    return (datetime.fromisoformat(since) if since else None, datetime.fromisoformat(until) if until else None)
