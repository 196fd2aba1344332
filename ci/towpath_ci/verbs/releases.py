"""`towpath releases`."""

from towpath_ci.console import emit, next_step, plain, say, table
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.records.release import Release

app = verb()


@app.command(epilog="Example: towpath releases")
def releases(*, as_json: AsJson = False) -> None:
    """List the releases of this repository's model.

    Newest first, with the environments whose merged file declares them.
    """
    workspace = Workspace.here()
    found = workspace.registry.releases(workspace.model)
    places = declared_where(workspace)
    if as_json:
        emit([_plain(release, places) for release in found])
    elif not found:
        say(f"{workspace.model} has no release yet.")
        next_step("towpath train")
    else:
        columns = ("version", "release", "id", "trained by", "data", "declared in")
        table(f"Releases of {workspace.model}", columns, (_row(release, places) for release in found))


def declared_where(workspace: Workspace) -> dict[str, list[str]]:
    """Return id of a release → the environments whose merged file declares it."""
    places: dict[str, list[str]] = {}
    for environment in workspace.environments:
        deployment = workspace.declared(environment)
        if deployment and deployment.release:
            places.setdefault(deployment.release.id, []).append(environment)
    return places


def _row(release: Release, places: dict[str, list[str]]) -> tuple[str, ...]:
    where = ", ".join(places.get(release.id, ()))
    data = release.data.removeprefix("sha256:")[:8]
    return (str(release.version), release.semver, release.short_id, release.code[:8], data, plain(where))


def _plain(release: Release, places: dict[str, list[str]]) -> dict[str, object]:
    return {"id": release.id, **release.plain(), "environments": places.get(release.id, [])}
