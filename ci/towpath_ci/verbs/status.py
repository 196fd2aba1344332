"""`towpath status`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from towpath_ci.console import ago, emit, mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Entry
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Observed
from towpath_gitops.errors import InvalidFileError, LedgerError
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Deployment

app = verb()

_LOOKS = {
    "serving": "[green]✓ serving[/]",
    "DIVERGED": "[bold red]✗ DIVERGED[/]",
    "not running": "[red]✗ not running[/]",
    "converging": "[yellow]… converging[/]",
    "no file": "[red]✗ no file[/]",
    "unreadable": "[red]✗ unreadable[/]",
}
_GOOD = {"serving", "nothing declared"}


@dataclass(frozen=True)
class Standing:
    """What one environment declares, what is seen to serve there, and how it was verified last."""

    deployment: Deployment
    observed: Observed
    verified: Entry | None
    problem: str = ""  # why it is not known how it was verified

    @property
    def served(self) -> str | None:
        """The id of the release that the service says it is."""
        return self.observed.version.release if self.observed.version else None

    @property
    def state(self) -> str:
        """The standing in one word."""
        declared = self.deployment.release
        if declared is None:
            return "nothing declared" if self.served is None else "DIVERGED"
        if self.served is None:
            return "converging" if self.observed.version else "not running"
        if self.served != declared.id:
            return "DIVERGED"
        return "serving" if self.observed.version and self.observed.version.converged else "converging"


@dataclass(frozen=True)
class Unknown:
    """An environment of which main does not say what it should serve; whatever runs there was left alone."""

    environment: str
    model: str
    state: str
    problem: str


@app.command(epilog="Example: towpath status")
def status(*, as_json: AsJson = False) -> None:
    """Show what is declared and what is served, everywhere.

    Declared is what main says; served is what the service itself answers now.
    """
    workspace = Workspace.here()
    standings = [_standing(workspace, name) for name in workspace.environments]
    if as_json:
        emit([_plain(standing) if isinstance(standing, Standing) else asdict(standing) for standing in standings])
        return
    for standing in standings:
        if isinstance(standing, Standing):
            _tell(standing)
        else:
            say(f"[bold]{plain(standing.environment):<12}[/]  {_LOOKS[standing.state]}")
        if standing.problem:
            say("\n".join(f"{'':<12}  [red]{plain(line.strip())}[/]" for line in standing.problem.splitlines()))
    if any(isinstance(standing, Standing) and standing.state not in _GOOD for standing in standings):
        next_step("towpath reconcile")


def _standing(workspace: Workspace, environment: str) -> Standing | Unknown:
    try:
        deployment = workspace.declared(environment)
    except InvalidFileError as error:
        return Unknown(environment, workspace.model, "unreadable", str(error))
    if deployment is None:
        path = layout.environment_path(environment, workspace.model)
        return Unknown(environment, workspace.model, "no file", f"main has no {path}")
    observed = TARGETS[deployment.target.kind](workspace.repository, deployment).observe()
    declared = deployment.release
    try:
        verified = workspace.ledger.last_verified(environment, workspace.model, declared.id) if declared else None
    except LedgerError as error:  # what serves can be told nevertheless
        return Standing(deployment, observed, None, str(error))
    return Standing(deployment, observed, verified)


def _tell(standing: Standing) -> None:
    """Print an environment in two or three lines, which fit any terminal."""
    deployment, release = standing.deployment, standing.deployment.release
    look = _LOOKS.get(standing.state, standing.state)
    declared = f"{release.semver} ({short(release.id)})" if release else ""
    address = plain(standing.observed.details.get("address", "")) if standing.observed.running else ""
    say("  ".join(filter(None, (f"[bold]{plain(deployment.environment):<12}[/]", look, declared, address))))
    if standing.state == "DIVERGED":
        say(f"{'':<12}  [red]it serves {short(standing.served or '')} instead[/]")
    if deployment.change:
        verified = "" if standing.problem else _verified(standing.verified)
        pieces = filter(None, (f"{deployment.change.type}: {plain(deployment.change.reason)}", verified))
        say(f"{'':<12}  [dim]{'; '.join(pieces)}[/]")
    if deployment.hold:
        blocked = ", ".join(map(short, deployment.blocked))
        say(f"{'':<12}  [yellow]blocked: {blocked}: {plain(deployment.hold.reason)}[/]")


def _verified(entry: Entry | None) -> str:
    if entry is None or entry.verdict is None:
        return "never verified"
    return f"verified {ago((datetime.now(UTC) - entry.time).total_seconds())} ago: {mark(entry.verdict.value)}"


def _plain(standing: Standing) -> dict[str, object]:
    deployment, version = standing.deployment, standing.observed.version
    return {
        "environment": deployment.environment,
        "model": deployment.model,
        "state": standing.state,
        "declared": deployment.release.id if deployment.release else None,
        "semver": deployment.release.semver if deployment.release else None,
        "served": standing.served,
        "workers": len(version.workers) if version else 0,
        "error": version.error if version else None,
        "verified": standing.verified.plain() if standing.verified else None,
        "problem": standing.problem or None,
        "blocked": list(deployment.blocked),
        "details": dict(standing.observed.details),
    }
