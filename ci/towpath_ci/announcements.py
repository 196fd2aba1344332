"""Deliveries as the forge shows them: only for people to see; what was delivered is testified by the ledger."""

from towpath_ci.console import mark, plain, stderr
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.errors import TowpathError
from towpath_gitops.forges.base import Progress
from towpath_gitops.records.base import short


def announce(workspace: Workspace, outcome: Outcome) -> None:
    """Show on the forge what an environment serves now; what has not moved was shown already."""
    if outcome.release is None or not outcome.changed:
        return
    if outcome.shift:
        taken_back = f"{short(outcome.shift.release)} was taken back, {outcome.release} serves"
        _show(workspace, outcome.commit, outcome.environment, Progress.FAILURE, taken_back)
    else:
        told = f"{outcome.release} serves, verified{outcome.beside}"
        _show(workspace, outcome.commit, outcome.environment, Progress.SUCCESS, told)


def announce_failure(workspace: Workspace, environment: str, error: TowpathError) -> None:
    """Show on the forge that an environment could not be brought to what main declares."""
    _show(workspace, workspace.main, environment, Progress.FAILURE, error.what)


def _show(workspace: Workspace, commit: str, environment: str, state: Progress, description: str) -> None:
    """Tell the forge; that it cannot be told fails nothing."""
    line = " ".join(description.split())
    try:
        workspace.forge.deployed(commit=commit, environment=environment, state=state, description=line)
    except TowpathError as error:
        stderr().print(f"    {mark('warn')} not shown on the forge: {plain(error.what)}", soft_wrap=True)
