"""`towpath rollback`."""

from typing import Annotated, Final

import typer

from towpath_ci.console import mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import EnvironmentName, Reason
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.promotion.safety import safe_returns

app = verb()

_MANY: Final = 20  # candidates that are looked at when all are to be explained

To = Annotated[
    str | None,
    typer.Option("--to", metavar="RELEASE", help="Where to; by default the release that was verified there before."),
]


Explain = Annotated[
    bool,
    typer.Option("--explain", help="Propose nothing; say of each earlier release whether it is safe."),
]


@app.command(epilog="Example: towpath rollback --environment production --reason 'complaints about the morning'")
def rollback(
    *, environment: EnvironmentName, to: To = None, reason: Reason = "it does harm", explain: Explain = False
) -> None:
    """Propose to go back to a release that was verified there.

    The release that it leaves is blocked: no automation brings it back. Needs no fresh evidence, is stopped by no
    freeze, and has an approval rule of its own (`rollback` in gitops/policy.yaml).
    """
    workspace = Workspace.here()
    if explain:
        _explain(workspace, environment)
        return
    with working("Looking for a way back"):
        target = workspace.find(to) if to else None
        pull = propose_rollback(
            workspace.desk, environment=environment, model=workspace.model, reason=reason, to=target
        )
    present(pull)


def _explain(workspace: Workspace, environment: str) -> None:
    (name,) = workspace.chosen(environment)
    deployment = workspace.declared(name)
    with working("Looking at every earlier release"):
        found = safe_returns(workspace.desk, deployment, at_most=_MANY) if deployment else []
    for candidate in found:
        say(f"{mark('failed' if candidate.reasons else 'ok')} [bold]{plain(candidate.release)}[/]")
        for reason in candidate.reasons:
            say(f"    [bold]{reason.rule}[/]: {plain(reason)}")
    if not found:
        say(f"No other release ever ran in {name}.")
    safe = [candidate.release for candidate in found if not candidate.reasons]
    if safe:
        next_step(f"towpath rollback --environment {name}   (to {safe[0].semver})")
