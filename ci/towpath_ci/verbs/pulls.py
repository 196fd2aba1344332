"""`towpath pulls`."""

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from towpath_ci.console import emit, markdown, plain, say, table
from towpath_ci.decisions import tell_in_full
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.forges.base import Pull, State

app = verb()


class Which(StrEnum):
    """Which pull requests to list."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"
    ALL = "all"


One = Annotated[int | None, typer.Argument(metavar="[N]", min=1, help="Show this one, with its decision document.")]
InState = Annotated[Which, typer.Option("--state", "-s", help="List those in this state.")]


@app.command(epilog="Example: towpath pulls --state all")
def pulls(number: One = None, *, state: InState = Which.OPEN, as_json: AsJson = False) -> None:
    """List the pull requests.

    Open ones, oldest first, unless --state says otherwise. With a number, one of them and its decision document: laid
    out on a terminal, as Markdown elsewhere, for programs with --json. Lists leave out who approved what is settled.
    """
    forge = Workspace.here().forge
    if number is not None:
        _show(forge.get(number), as_json=as_json)
        return
    found = forge.list(None if state is Which.ALL else State(state))
    if as_json:
        emit([pull.model_dump(mode="json", exclude={"body", "data"}) for pull in found])
    elif found:
        table("", ("number", "state", "title", "author", "approved by"), map(_row, found))
    else:
        say("There are no pull requests." if state is Which.ALL else f"No pull request is {state}.")


def _show(pull: Pull, *, as_json: bool) -> None:
    if as_json:
        emit(pull.model_dump(mode="json", exclude={"data"}) | {"decision": json.loads(pull.data or "null")})
        return
    say(f"[bold]#{pull.number}[/] {plain(pull.title)}: {pull.state}, proposed by {plain(pull.author)}")
    for approval in pull.approvals:
        earlier = "" if approval.head == pull.head else ", an earlier commit"
        say(f"  approved by {plain(approval.by)} at {approval.head[:12]}{earlier}")
    for comment in pull.comments:
        say(f"  {plain(comment.by)}: {plain(comment.text)}")
    if sys.stdout.isatty() and pull.data:
        tell_in_full(pull)
    else:
        markdown(pull.body)


def _row(pull: Pull) -> tuple[str, ...]:
    nobody = "-" if pull.state is State.OPEN else ""  # of those that are settled, lists know no approvals
    approvals = ", ".join(approval.by for approval in pull.current_approvals)
    return (f"#{pull.number}", pull.state.value, plain(pull.title), plain(pull.author), plain(approvals) or nobody)
