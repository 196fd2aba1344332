"""`towpath show`."""

from towpath_ci.console import emit, mark, plain, say, table
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.verbs.releases import declared_where
from towpath_ci.workspace import Workspace
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.release import Release

app = verb()


@app.command(epilog="Example: towpath show 1.2.0")
def show(release: Selector, *, as_json: AsJson = False) -> None:
    """Show one release: digests, evidence, where it serves."""
    workspace = Workspace.here()
    found = workspace.find(release)
    evidence = workspace.registry.evidence(found)
    places = declared_where(workspace).get(found.id, [])
    if as_json:
        kinds = {kind.value: item.plain() | {"verdict": item.verdict.value} for kind, item in evidence.items()}
        emit({"id": found.id, **found.plain(), "environments": places, "evidence": kinds})
        return
    _tell(found, places)
    tell_evidence(evidence)


def _tell(release: Release, places: list[str]) -> None:
    say(f"[bold]{plain(release)}[/]")
    table("", ("", ""), [(name, plain(value)) for name, value in {"id": release.id, **release.plain()}.items()])
    say(f"Declared in: {', '.join(places) or 'no environment'}\n")


def tell_evidence(evidence: dict[Kind, Evidence]) -> None:
    """Print every finding, kind by kind, in the order in which kinds are judged."""
    rows = [
        (kind.value, plain(finding.gate), mark(finding.verdict.value), plain(finding.message))
        for kind in Kind
        if kind in evidence
        for finding in evidence[kind].findings
    ]
    table("Evidence", ("kind", "gate", "verdict", "found"), rows)
