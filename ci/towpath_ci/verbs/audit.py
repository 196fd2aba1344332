"""`towpath audit`."""

import heapq
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from towpath_ci.console import complain_softly, emit, mark, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import DATES, AnyEnvironment, AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.audit import require_true
from towpath_gitops.delivery.declared import declared_at
from towpath_gitops.delivery.export import FORMATS, exported
from towpath_gitops.delivery.ledger import Entry
from towpath_gitops.delivery.served import Served, served_at
from towpath_gitops.delivery.testimony import Declaration, History
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import short

app = verb()


@app.callback(invoke_without_command=True, epilog="Example: towpath audit at 2026-03-01T12:00 --environment production")
def audit(context: typer.Context, *, environment: AnyEnvironment = None, as_json: AsJson = False) -> None:
    """Testify who served what, when, approved by whom, and why.

    Everything is read from git: the ledger's branch and main's history. No server is asked, and where the remote
    cannot be reached, this clone testifies as far as it knows.
    """
    if context.invoked_subcommand is None:
        workspace = _opened(environment)
        _show(workspace, _entries(workspace, environment), as_json=as_json)


@app.command(epilog="Example: towpath audit verify")
def verify() -> None:
    """Check the ledger's chain, every entry against main's history, and that none is missing."""
    workspace = _opened(None)
    with working("Reading main's history"):
        count = require_true(workspace.ledger)
    say(f"{mark('ok')} {count} entries: the chain is whole, and main's history says the same.")


@app.command(epilog="Example: towpath audit at 2026-03-01T12:00 --environment production")
def at(
    time: Annotated[datetime, typer.Argument(formats=DATES, help="A moment, in UTC unless it says otherwise.")],
    *,
    environment: AnyEnvironment = None,
    as_json: AsJson = False,
) -> None:
    """Say which release served at a moment, and why."""
    workspace = _opened(environment)
    moment = time if time.tzinfo else time.replace(tzinfo=UTC)
    found = served_at(workspace.ledger, moment, environment, workspace.model)
    if as_json:
        emit([_plain_served(served) for served in found])
        return
    for served in found:
        _tell_served(served)
    if not found:
        say("Nothing was served.")


@app.command(epilog="Example: towpath audit rebuild --environment production")
def rebuild(*, environment: AnyEnvironment = None, as_json: AsJson = False) -> None:
    """Tell from main's history alone what the ledger must say, and compare.

    Each declaration comes with its change, reason, proposer, approvals and evidence, whether or not there is a ledger.
    What git alone cannot tell, and so is the ledger's only, are the moments: when a release was applied, verified, or
    left by the guard. Exits with 13 when the two contradict each other.
    """
    workspace = _opened(environment)
    with working("Reading main's history"):
        history = History(workspace.repository)
        told = _told(workspace)
        found = [
            declaration
            for place in history.places
            if place.model == workspace.model and environment in {None, place.environment}
            for declaration in history.declarations(place)
        ]
    if as_json:
        emit([_plain_declaration(declaration, told) for declaration in found])
    else:
        for declaration in found:
            _tell_declaration(declaration, told)
    require_true(workspace.ledger)
    if not as_json:
        say(f"{mark('ok')} {len(found)} declarations; the ledger says the same of each that it tells of.")


@app.command(epilog="Example: towpath audit export --format csv --output ledger.csv")
def export(
    *,
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="JSON with a schema, or a table.")] = "json",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to; by default stdout.")
    ] = None,
    environment: AnyEnvironment = None,
) -> None:
    """Hand the ledger on to other programs, as JSON or CSV.

    docs/schemas/ledger-export.json describes the JSON. In the table, what a spreadsheet would take for a formula
    begins with an apostrophe.
    """
    workspace = _opened(environment)
    found = exported(workspace.ledger, environment, workspace.model)
    text = FORMATS[form](found)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(output, text)
    except OSError as error:
        raise InvalidFileError(f"{output} cannot be written", why=error.strerror or str(error)) from error
    say(f"{mark('ok')} {len(found.entries)} entries in {plain(output)}")


def _opened(environment: str | None) -> Workspace:
    """Return the workspace, as fresh as can be.

    Raises:
        NotFoundError: neither the ledger nor the policy knows the environment.
    """
    workspace = Workspace.here()
    if not workspace.refreshed():
        complain_softly("The remote cannot be reached: this clone testifies as far as it knows.")
    _require_known(workspace, environment)
    return workspace


def _entries(workspace: Workspace, environment: str | None) -> list[Entry]:
    names = [environment] if environment else workspace.ledger.environments()
    chains = [workspace.ledger.entries(name, workspace.model) for name in names]
    return list(heapq.merge(*chains, key=lambda entry: entry.time))  # by time, each chain in its own order


def _require_known(workspace: Workspace, environment: str | None) -> None:
    """Refuse a name that neither the ledger nor the policy knows: “nothing was served” would be false testimony.

    Raises:
        NotFoundError: it is unknown; names those that are known.
    """
    if environment is not None and environment not in workspace.ledger.environments():
        workspace.chosen(environment)


# --- entries ------------------------------------------------------------------------------------------------------


def _show(workspace: Workspace, entries: list[Entry], *, as_json: bool) -> None:
    if as_json:
        emit([{**entry.plain(), "hash": entry.hash, "semver": _semver(workspace, entry)} for entry in entries])
    elif entries:
        for entry in entries:
            _tell(entry, _semver(workspace, entry))
    else:
        say("Nothing was served.")


def _tell(entry: Entry, semver: str) -> None:
    """Print an entry as a sentence in two lines, which fit any terminal."""
    when = f"{entry.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    verdict = f" {mark(entry.verdict.value)}" if entry.verdict else ""
    to = f" to {short(entry.to)}" if entry.to else ""
    release = f"{semver} ({short(entry.release)})"
    say(f"{when}  [bold]{plain(entry.environment)}[/]  {entry.event}{verdict}  [bold]{release}[/]{to}")
    _aside(_because(entry))
    for more in filter(None, (entry.beside, entry.note)):
        _aside(more)


def _because(entry: Entry) -> str:
    pull = f" #{entry.pull}" if entry.pull else ""
    approved = f", approved by {', '.join(entry.approved_by)}" if entry.approved_by else ""
    evidence = f", on evidence {short(entry.evidence)}" if entry.evidence else ""
    return f"{entry.change}{pull} by {entry.author or 'nobody known'}{approved}{evidence}"


def _aside(text: str) -> None:
    say(f"{'':<19}  [dim]{plain(text)}[/]")


def _semver(workspace: Workspace, entry: Entry) -> str:
    """Return the semantic version that main's commit gave the release; offline, like all testimony."""
    try:
        declared = declared_at(workspace.repository, entry.commit, entry.environment, entry.model)
    except (InvalidFileError, NotFoundError):  # a commit that main lost, or a file that it held broken
        return "?"
    return declared.release.semver if declared and declared.release.id == entry.release else "?"


# --- at a moment --------------------------------------------------------------------------------------------------


def _plain_served(served: Served) -> dict[str, object]:
    entry = served.entry
    verified = served.verified.plain() if served.verified else None
    own = {"hash": entry.hash, "semver": served.semver, "served": served.release, "flags": list(served.flags)}
    return {**entry.plain(), **own, "verified": verified}


def _tell_served(served: Served) -> None:
    entry = served.entry
    release = f"{served.semver} ({short(served.release)})"
    since = f"{entry.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    say(f"[bold]{plain(entry.environment)}[/] served [bold]{plain(entry.model)} {release}[/] since {since}")
    say(f"    [dim]{plain(_because(entry))}[/]")
    if entry.reason:
        say(f"    [dim]{plain(entry.reason)}[/]")
    if served.verified and served.verified.verdict:
        when = f"{served.verified.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        say(f"    {mark(served.verified.verdict.value)} [dim]verified {when}[/]")
    for flag in served.flags:
        say(f"    {mark('warn')} {plain(flag)}")


# --- from main alone ----------------------------------------------------------------------------------------------

_Told = dict[tuple[str, str], list[Entry]]  # environment and commit of main → entries


def _told(workspace: Workspace) -> _Told:
    told: _Told = {}
    for environment in workspace.ledger.environments():
        for entry in workspace.ledger.read(environment)[0]:
            if entry.model == workspace.model:
                told.setdefault((environment, entry.commit), []).append(entry)
    return told


def _plain_declaration(declaration: Declaration, told: _Told) -> dict[str, object]:
    declared = declaration.declared
    entries = told.get((declaration.place.environment, declared.commit), [])
    return {
        **declaration.place._asdict(),
        "commit": declared.commit,
        "merged": declaration.merged.isoformat(),
        "semver": declared.release.semver,
        **declared.facts(),
        "ledger": [{"seq": entry.seq, "event": entry.event, "time": entry.time.isoformat()} for entry in entries],
    }


def _tell_declaration(declaration: Declaration, told: _Told) -> None:
    declared, place = declaration.declared, declaration.place
    facts = declared.facts()
    when = f"{declaration.merged.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    release = f"{declared.release.semver} ({declared.release.short_id})"
    say(f"{when}  [bold]{plain(place.environment)}[/]  {facts['change']}  [bold]{release}[/]  {declared.commit[:12]}")
    pull = f"#{facts['pull']} " if facts["pull"] else ""
    approved = f", approved by {', '.join(facts['approved_by'])}" if facts["approved_by"] else ""
    _aside(f"{pull}by {facts['author'] or 'nobody known'}{approved}: {facts['reason']}")
    entries = told.get((place.environment, declared.commit), [])
    words = ", ".join(f"{entry.event} {entry.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for entry in entries)
    _aside(f"the ledger: {words or 'nothing yet'}")
