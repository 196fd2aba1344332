"""`towpath rollback`."""

from typing import Annotated

import typer

from towpath_ci.console import working
from towpath_ci.lazy import verb
from towpath_ci.options import EnvironmentName, Reason
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.proposal import propose_rollback

app = verb()

To = Annotated[
    str | None,
    typer.Option("--to", metavar="RELEASE", help="Where to; by default the release that was verified there before."),
]


@app.command(epilog="Example: towpath rollback --environment production --reason 'complaints about the morning'")
def rollback(*, environment: EnvironmentName, to: To = None, reason: Reason = "it does harm") -> None:
    """Propose to go back to a release that was verified there.

    The release that it leaves is blocked: no automation brings it back. Needs no fresh evidence and has an approval
    rule of its own (`rollback` in gitops/policy.yaml).
    """
    workspace = Workspace.here()
    with working("Looking for a way back"):
        target = workspace.find(to) if to else None
        pull = propose_rollback(
            workspace.desk, environment=environment, model=workspace.model, reason=reason, to=target
        )
    present(pull)
