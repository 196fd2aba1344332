"""`towpath hold`."""

from towpath_ci.console import working
from towpath_ci.lazy import verb
from towpath_ci.options import EnvironmentName, GivenReason, Selector
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.proposal import propose_hold

app = verb()


@app.command(epilog="Example: towpath hold 2.1.0 --environment production --reason 'wrong units'")
def hold(release: Selector, *, environment: EnvironmentName, reason: GivenReason) -> None:
    """Propose to keep a release out of an environment.

    What serves goes on serving. Takes the short lane of rollbacks: their approvals, no freeze. The release that a
    rollback leaves is held by itself.
    """
    workspace = Workspace.here()
    with working("Proposing the hold"):
        pull = propose_hold(workspace.desk, environment=environment, release=workspace.find(release), reason=reason)
    present(pull)
