"""`towpath lineage`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.tree import Tree

from towpath_ci.console import emit, mark, plain, say, stdout
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.verbs.releases import declared_where
from towpath_ci.workspace import Workspace
from towpath_gitops.records.base import digest_file, short
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.lineage import Lineage, LineageInput
from towpath_gitops.records.release import Release

app = verb()

_SHOWN = 20  # inputs in the tree and the diagram; --json has them all
_UNSAFE = str.maketrans({'"': "'", "<": "‹", ">": "›", "[": "(", "]": ")", "{": "(", "}": ")", "`": "'", "#": ""})  # noqa: RUF001 (single quotation marks that are no HTML)

Mermaid = Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid diagram, which forges draw.")]
Check = Annotated[bool, typer.Option("--check", help="Look whether the files that were read are still the same.")]


@app.command(epilog="Example: towpath lineage 1.2.0")
def lineage(release: Selector, *, as_json: AsJson = False, mermaid: Mermaid = False, check: Check = False) -> None:
    """Draw what a release was made from, and where it went.

    Every file, object or query that was read, by its digest; the commit; the evidence; the environments.
    """
    workspace = Workspace.here()
    found = workspace.find(release)
    origin = workspace.registry.lineage(found)
    evidence = workspace.registry.evidence(found)
    places = declared_where(workspace).get(found.id, [])
    states = _states(workspace, origin) if check else {}
    if as_json:
        emit(_plain(found, origin, evidence, places, states))
    elif mermaid:
        for line in _diagram(found, origin, evidence, places):
            print(line)  # noqa: T201 (a diagram is no markup of ours)
    else:
        stdout().print(_tree(workspace, found, origin, evidence, places, states))
        if origin is None:
            say("\nIts lineage was not recorded: it was trained by an earlier version.")


def _states(workspace: Workspace, origin: Lineage | None) -> dict[str, str]:
    """Return uri → whether a file is as it was: unchanged, changed or gone. What is no file here is left out."""
    found = {}
    for each in origin.inputs if origin else ():
        if each.size_bytes is not None and "://" not in each.uri:
            path = workspace.root / each.uri
            same = path.is_file() and digest_file(path) == each.digest
            found[each.uri] = "unchanged" if same else "changed" if path.is_file() else "gone"
    return found


def _plain(
    release: Release,
    origin: Lineage | None,
    evidence: dict[Kind, Evidence],
    places: list[str],
    states: dict[str, str],
) -> dict[str, Any]:
    return {
        "id": release.id,
        **release.plain(),
        "lineage": origin.plain() if origin else None,
        "evidence": {kind.value: each.verdict.value for kind, each in evidence.items()},
        "champion": _champion(evidence),
        "environments": places,
        **({"files": states} if states else {}),
    }


def _champion(evidence: dict[Kind, Evidence]) -> str | None:
    compared = evidence.get(Kind.COMPARISON)
    return compared.champion if compared else None


# --- the tree -----------------------------------------------------------------------------------------------------


def _tree(  # noqa: PLR0913, PLR0917 (one line for each thing that is told)
    workspace: Workspace,
    release: Release,
    origin: Lineage | None,
    evidence: dict[Kind, Evidence],
    places: list[str],
    states: dict[str, str],
) -> Tree:
    tree = Tree(f"[bold]{plain(release)}[/]")
    data = tree.add(_about(release, origin))
    for each in origin.inputs[:_SHOWN] if origin else ():
        state = f" {states[each.uri]}" if each.uri in states else ""
        data.add(f"{plain(each.uri)} [dim]{short(each.digest)}{_size(each)}[/]{state}")
    if origin and len(origin.inputs) > _SHOWN:
        data.add(f"and {len(origin.inputs) - _SHOWN} more")
    tree.add(f"code {release.code[:12]} [dim]{plain(_subject(workspace, release.code))}[/]")
    tree.add(f"artifact [dim]{short(release.artifact)}[/], input schema [dim]{short(release.input_schema)}[/]")
    judged = tree.add("evidence" if evidence else "no evidence")
    for kind, found in evidence.items():
        champion = f", against {short(found.champion)}" if found.champion else ""
        judged.add(f"{kind.value} {mark(found.verdict.value)}{champion}")
    tree.add(f"declared in {', '.join(map(plain, places)) or 'no environment'}")
    return tree


def _about(release: Release, origin: Lineage | None) -> str:
    line = f"data [dim]{short(release.data)}[/]"
    if origin is None:
        return line
    ends = [f"{end:%Y-%m-%d %H:%M}" if end else "…" for end in (origin.since, origin.until)]
    window = f", {ends[0]} to {ends[1]}" if origin.since or origin.until else ""
    return f"{line} {origin.rows:,} rows of {plain(origin.source)}{window}"


def _size(each: LineageInput) -> str:
    return "" if each.size_bytes is None else f", {each.size_bytes / 1e6:,.1f} MB"


def _subject(workspace: Workspace, commit: str) -> str:
    if workspace.repository.resolve(commit) is None:
        return "(not in this clone)"
    return workspace.repository.info(commit).message.partition("\n")[0]


# --- the diagram --------------------------------------------------------------------------------------------------


def _diagram(
    release: Release, origin: Lineage | None, evidence: dict[Kind, Evidence], places: list[str]
) -> Iterator[str]:
    yield "flowchart LR"
    yield _node("release", f"{release.model} {release.semver}", release.short_id)
    yield _node("data", f"{origin.rows:,} rows" if origin else "data", short(release.data))
    yield "  data --> release"
    for number, each in enumerate(origin.inputs[:_SHOWN] if origin else ()):
        yield _node(f"input{number}", each.uri, short(each.digest))
        yield f"  input{number} --> data"
    yield _node("code", "code", release.code[:12])
    yield "  code --> release"
    if champion := _champion(evidence):
        yield _node("champion", "compared with", short(champion))
        yield "  champion -.-> release"
    for number, place in enumerate(places):
        yield _node(f"place{number}", place, "declared")
        yield f"  release --> place{number}"


def _node(name: str, *lines: str) -> str:
    words = "<br/>".join(line.translate(_UNSAFE) for line in lines)
    return f'  {name}["{words}"]'
