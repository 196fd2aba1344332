"""`towpath report`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from towpath_ci.compliance.base import State
from towpath_ci.compliance.pages import LEGEND, WORDS, markdown, page
from towpath_ci.compliance.report import Report
from towpath_ci.compliance.report import report as judged
from towpath_ci.console import complain_softly, emit, mark, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.release_report import Known
from towpath_ci.verbs.releases import declared_where
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.testimony import Place
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.files import write_atomically
from towpath_gitops.forges.base import Safeguards
from towpath_gitops.promotion import pages
from towpath_gitops.promotion.dossier import Past
from towpath_gitops.records.release import Release

_NAMED: Final = "release"  # the command that a release's name stands for
_SHOWN: Final = 10  # releases in the version history


class Pages(TyperGroup):
    """Pages by their names; whatever is none is a release."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 (typer's own types are private)
        """Take `towpath report 1.2.0` for `towpath report release 1.2.0`."""
        known = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else [_NAMED, *args])


app = verb()

Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where to; by default .towpath/reports, which git ignores."),
]
Environment = Annotated[
    str | None, typer.Option("--environment", "-e", metavar="NAME", help="Which environment; by default the last one.")
]


@app.callback(cls=Pages, epilog="Example: towpath report 1.2.0 · or: towpath report compliance --output reports")
def report() -> None:
    """Write a page about a release, or about controls and their evidence."""


@app.command(_NAMED, epilog="Example: towpath report 1.2.0 --output reports")
def of_release(release: Selector, *, output: Output = None, as_json: AsJson = False) -> None:
    """Gather everything that is known about one release on one page.

    As Markdown and as one HTML page that needs nothing else: gates, metrics with intervals, the decision threshold,
    pictures, champion against challenger, what the model listens to, behaviour, lineage, cost and history.
    """
    workspace = Workspace.here()
    found = workspace.find(release)
    with working(f"Gathering what is known about {found}"):
        known = _gathered(workspace, found)
    if as_json:
        emit(known.plain())
        return
    title, sections = known.title, known.sections()
    texts = {"md": pages.markdown(title, sections), "html": pages.page(title, sections)}
    paths = _kept(output or layout.state(workspace.root, "reports"), f"{found.model}-{found.semver}", texts)
    say(f"{mark(known.verdict.value)} {plain(title)}")
    for path in paths:
        say(f"Written: {plain(path)}")


def _gathered(workspace: Workspace, release: Release) -> Known:
    registry = workspace.registry
    known = [each for each in registry.releases(release.model) if each.version <= release.version]
    past = [Past(each, registry.metrics(each)) for each in known[:_SHOWN]]
    return Known(
        release=release,
        evidence=registry.evidence(release),
        artifact=registry.fetch(release, layout.store(workspace.root)),
        metrics=past[0].metrics,
        past=past,
        places=declared_where(workspace).get(release.id, []),
    )


@app.command(epilog="Example: towpath report compliance --output reports")
def compliance(*, environment: Environment = None, output: Output = None, as_json: AsJson = False) -> None:
    """Map controls to the evidence for every release that served, and print the gaps.

    One page, as Markdown and as HTML. Everything is read from git, offline; only the forge's own branch rules are asked
    of the forge. The provisions of NIST AI RMF, EU AI Act and SOC 2 are named; the page is a mapping, no certificate.
    """
    workspace = Workspace.here()
    if not workspace.refreshed():
        complain_softly("The remote cannot be reached: the page tells what this clone knows.")
    (name,) = workspace.chosen(environment or workspace.policy.last.name)
    with working("Reading main's history"):
        found = judged(workspace.ledger, Place(name, workspace.model), partial(_safeguards, workspace), _now())
    if as_json:
        emit(found.plain())
        return
    paths = _written(found, output or layout.state(workspace.root, "reports"))
    _tell(found, paths)


def _safeguards(workspace: Workspace) -> Safeguards | None:
    """Ask the forge, which may be away: that is a gap of some controls, not of the page."""
    return workspace.forge.safeguards()


def _now() -> datetime:
    return datetime.now(UTC)


def _written(found: Report, folder: Path) -> tuple[Path, ...]:
    texts = {"md": markdown(found), "html": page(found)}
    return _kept(folder, f"compliance-{found.place.environment}", texts)


def _kept(folder: Path, stem: str, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write texts (by the ends of their names) to a folder, and return where."""
    paths = {folder / f"{stem}.{end}": text for end, text in texts.items()}
    try:
        for path, text in paths.items():
            write_atomically(path, text)
    except OSError as error:
        raise InvalidFileError(f"{folder} cannot be written", why=error.strerror or str(error)) from error
    return tuple(paths)


def _tell(found: Report, paths: tuple[Path, ...]) -> None:
    counts = ", ".join(f"{found.count(state)} {WORDS[state]} ({LEGEND[state]})" for state in State)
    say(f"{mark('warn' if found.gaps else 'ok')} {plain(found.title)}: {plain(counts)}")
    for where, judgement in found.gaps:
        say(f"    {mark('failed')} {plain(judgement.control.title())} [dim]({plain(where)})[/]")
    for path in paths:
        say(f"Written: {plain(path)}")
