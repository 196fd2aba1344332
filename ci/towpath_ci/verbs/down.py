"""`towpath down`."""

from towpath_ci.console import mark, plain, say
from towpath_ci.lazy import verb
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.targets import TARGETS
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
    for deployment in _deployments(workspace):
        target = TARGETS[deployment.target.kind](workspace.repository, deployment)
        answered = target.observe().running
        target.stop()  # one that is still starting does not answer yet
        if answered:
            say(f"{mark('ok')} Stopped {plain(deployment.model)} in {plain(deployment.environment)}")
    for server in stop(workspace.root):
        say(f"{mark('ok')} Stopped {server}'s server")


def _deployments(workspace: Workspace) -> list[Deployment]:
    """Return what the working tree's files describe: `down` must work without a remote and in a broken repository."""
    found = []
    for path in sorted(workspace.root.glob(f"{layout.ENVIRONMENTS}/*/*.yaml")):
        try:
            found.append(parse_deployment(path.read_text(encoding="utf-8"), source=str(path)))
        except (TowpathError, OSError, UnicodeDecodeError) as error:
            say(f"{mark('warn')} {plain(error)}")
    return found
