"""`towpath audit`."""

import heapq
from datetime import UTC, datetime
from typing import Annotated

import typer

from towpath_ci.console import emit, mark, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import DATES, AnyEnvironment, AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.audit import audit as problems_of
from towpath_gitops.delivery.declared import declared_at
from towpath_gitops.delivery.ledger import Entry
from towpath_gitops.errors import LedgerError
from towpath_gitops.records.base import short

app = verb()


@app.callback(invoke_without_command=True, epilog="Example: towpath audit at 2026-03-01T12:00 --environment production")
def audit(context: typer.Context, *, environment: AnyEnvironment = None, as_json: AsJson = False) -> None:
    """Testify who served what, when, approved by whom, and why.

    Everything is read from git: the ledger's branch and main's history. No server is asked.
    """
    if context.invoked_subcommand is None:
        workspace = Workspace.here()
        _show(workspace, _entries(workspace, environment), as_json=as_json)


@app.command(epilog="Example: towpath audit verify")
def verify() -> None:
    """Check the ledger's chain, and every entry against main's history."""
    workspace = Workspace.here()
    with working("Reading main's history"):
        workspace.repository.fetch()
        problems = problems_of(workspace.ledger)
    if problems:
        raise LedgerError(
            f"The ledger has {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            why="\n".join(map(str, problems)),
            hint="Compare with another clone's towpath/ledger before anything else is promoted.",
        )
    count = len(_entries(workspace, None))
    say(f"{mark('ok')} {count} entries: the chain is whole, and main's history says the same.")


@app.command(epilog="Example: towpath audit at 2026-03-01T12:00 --environment production")
def at(
    time: Annotated[datetime, typer.Argument(formats=DATES, help="A moment, in UTC unless it says otherwise.")],
    *,
    environment: AnyEnvironment = None,
    as_json: AsJson = False,
) -> None:
    """Say which release served at a moment."""
    workspace = Workspace.here()
    workspace.repository.fetch()
    _require_known(workspace, environment)
    moment = time if time.tzinfo else time.replace(tzinfo=UTC)
    _show(workspace, workspace.ledger.at(moment, environment, workspace.model), as_json=as_json)


def _entries(workspace: Workspace, environment: str | None) -> list[Entry]:
    workspace.repository.fetch()
    _require_known(workspace, environment)
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


def _show(workspace: Workspace, entries: list[Entry], *, as_json: bool) -> None:
    if as_json:
        emit([{**entry.plain(), "hash": entry.hash, "semver": _semver(workspace, entry)} for entry in entries])
    elif entries:
        for entry in entries:
            _tell(workspace, entry)
    else:
        say("Nothing was served.")


def _tell(workspace: Workspace, entry: Entry) -> None:
    """Print an entry as a sentence in two lines, which fit any terminal."""
    when = f"{entry.time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    verdict = f" {mark(entry.verdict.value)}" if entry.verdict else ""
    release = f"{_semver(workspace, entry)} ({short(entry.release)})"
    say(f"{when}  [bold]{entry.environment}[/]  {entry.event}{verdict}  [bold]{release}[/]")
    pull = f" #{entry.pull}" if entry.pull else ""
    approved = f", approved by {', '.join(entry.approved_by)}" if entry.approved_by else ""
    evidence = f", on evidence {short(entry.evidence)}" if entry.evidence else ""
    author = entry.author or "nobody known"
    say(f"{'':<19}  [dim]{plain(f'{entry.change}{pull} by {author}{approved}{evidence}')}[/]")
    if entry.note:
        say(f"{'':<19}  [dim]{plain(entry.note)}[/]")


def _semver(workspace: Workspace, entry: Entry) -> str:
    """Return the semantic version that main's commit gave the release; offline, like all testimony."""
    declared = declared_at(workspace.repository, entry.commit, entry.environment, entry.model)
    return declared.release.semver if declared and declared.release.id == entry.release else "?"
