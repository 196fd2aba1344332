"""`towpath close`."""

from towpath_ci.console import mark, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import Number, Reason
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.change import one_line

app = verb()


@app.command(epilog="Example: towpath close 7 --reason 'superseded by the hotfix'")
def close(number: Number, *, reason: Reason = "closed by hand") -> None:
    """Close a pull request without merging it."""
    pull = Workspace.here().forge.close(number, one_line(reason))
    say(f"{mark('ok')} Closed #{pull.number}: {plain(pull.title)}")
