"""`towpath unhold`."""

from towpath_ci.console import working
from towpath_ci.lazy import verb
from towpath_ci.options import EnvironmentName, GivenReason, Selector
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.proposal import propose_unhold

app = verb()


@app.command(epilog="Example: towpath unhold 2.1.0 --environment production --reason 'the units were right'")
def unhold(release: Selector, *, environment: EnvironmentName, reason: GivenReason) -> None:
    """Propose to let a held release in again.

    Needs as many approvals as a promotion. It moves nothing: promoting the release is another change, judged anew.
    """
    workspace = Workspace.here()
    with working("Proposing to lift the hold"):
        pull = propose_unhold(workspace.desk, environment=environment, release=workspace.find(release), reason=reason)
    present(pull)
