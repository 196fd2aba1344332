"""`towpath status`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from towpath_ci.console import ago, emit, mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.ledger import Entry
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Observed
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Deployment

app = verb()

_LOOKS = {
    "serving": "[green]✓ serving[/]",
    "DIVERGED": "[bold red]✗ DIVERGED[/]",
    "not running": "[red]✗ not running[/]",
    "converging": "[yellow]… converging[/]",
}


@dataclass(frozen=True)
class Standing:
    """What one environment declares, what is seen to serve there, and how it was verified last."""

    deployment: Deployment
    observed: Observed
    verified: Entry | None

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


@app.command(epilog="Example: towpath status")
def status(*, as_json: AsJson = False) -> None:
    """Show what is declared and what is served, everywhere.

    Declared is what main says; served is what the service itself answers now.
    """
    workspace = Workspace.here()
    standings = [found for name in workspace.environments if (found := _standing(workspace, name))]
    if as_json:
        emit([_plain(standing) for standing in standings])
        return
    for standing in standings:
        _tell(standing)
    if any(standing.state in {"DIVERGED", "not running", "converging"} for standing in standings):
        next_step("towpath reconcile")


def _standing(workspace: Workspace, environment: str) -> Standing | None:
    deployment = workspace.declared(environment)
    if deployment is None:
        return None
    observed = TARGETS[deployment.target.kind](workspace.repository, deployment).observe()
    declared = deployment.release
    ledger = workspace.ledger
    verified = ledger.last_verified(environment, workspace.model, declared.id) if declared else None
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
        pieces = (f"{deployment.change.type}: {plain(deployment.change.reason)}", _verified(standing.verified))
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
        "blocked": list(deployment.blocked),
        "details": dict(standing.observed.details),
    }
