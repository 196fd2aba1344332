"""`towpath down`."""

from towpath_ci.console import mark, plain, say
from towpath_ci.lazy import verb
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Target
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.deployment import Deployment, parse_deployment

app = verb()


@app.command(epilog="Example: towpath down")
def down() -> None:
    """Stop what runs for this repository: services and pages.

    Services finish the requests that they are answering. What is declared stays declared: `towpath reconcile` starts
    them again.
    """
    from towpath_flows.server import stop  # noqa: PLC0415 (only this verb stops servers)

    workspace = Workspace.here()
    for (environment, model), target in _targets(workspace).items():
        answered = target.observe().running
        target.stop()  # one that is still starting does not answer yet
        place = f"{plain(model)} in {plain(environment)}"
        if answered and target.observe().running:
            say(f"{mark('warn')} {place} still answers: another clone started it, and only that may stop it")
        elif answered:
            say(f"{mark('ok')} Stopped {place}")
    for server in stop(workspace.root):
        say(f"{mark('ok')} Stopped {server}'s server")


def _targets(workspace: Workspace) -> dict[tuple[str, str], Target]:
    """Return the targets by environment and model: those that files describe, and those that only ever ran here."""
    targets: dict[tuple[str, str], Target] = {}
    for left in LocalTarget.left_in(workspace.repository):
        targets[left.environment, left.model] = left
    for deployment in _deployments(workspace):
        made = TARGETS[deployment.target.kind](workspace.repository, deployment)
        targets[deployment.environment, deployment.model] = made
    return targets


def _deployments(workspace: Workspace) -> list[Deployment]:
    """Return what the working tree's files describe: `down` must work without a remote and in a broken repository."""
    found = []
    for path in sorted(workspace.root.glob(f"{layout.ENVIRONMENTS}/*/*.yaml")):
        try:
            found.append(parse_deployment(path.read_text(encoding="utf-8"), source=str(path)))
        except (TowpathError, OSError, UnicodeDecodeError) as error:
            say(f"{mark('warn')} {plain(error)}")
    return found
