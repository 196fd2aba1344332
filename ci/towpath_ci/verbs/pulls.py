"""`towpath pulls`."""

from typing import Annotated

import typer
from towpath_gitops.forges.base import Pull, State

from towpath_ci.console import emit, plain, say, table
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath pulls --all")
def pulls(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Merged and closed ones, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the pull requests.

    Open ones, oldest first; with --all those that were merged or closed as well.
    """
    found = Workspace.here().forge.list(None if everything else State.OPEN)
    if as_json:
        emit([pull.model_dump(mode="json", exclude={"body", "data"}) for pull in found])
    elif found:
        table("", ("number", "state", "title", "author", "approved by"), map(_row, found))
    else:
        say("There are no pull requests." if everything else "No pull request is open.")


def _row(pull: Pull) -> tuple[str, ...]:
    approvals = ", ".join(approval.by for approval in pull.current_approvals)
    return (f"#{pull.number}", pull.state.value, plain(pull.title), plain(pull.author), plain(approvals) or "-")
