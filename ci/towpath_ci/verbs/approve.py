"""`towpath approve`."""

from towpath_ci.console import mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import Number
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath approve 7")
def approve(number: Number) -> None:
    """Approve a pull request at its present head.

    In the name of your git identity; on GitHub, of the account that the token belongs to. A later commit on the branch
    needs a new approval; one's own counts for nothing.
    """
    forge = Workspace.here().forge
    pull = forge.approve(number)
    by = forge.identity()
    say(f"{mark('ok')} {plain(by)} approves #{pull.number} at {pull.head[:12]}: {plain(pull.title)}")
    if by == pull.author:
        say("[yellow]It is your own proposal: somebody else must approve it, too.[/]")
    next_step(f"towpath merge {pull.number}")
