"""`towpath review`."""

from towpath_ci.console import emit, mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Number
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import RefusedError
from towpath_gitops.promotion.review import Review
from towpath_gitops.promotion.review import review as judge

app = verb()


@app.command(epilog="Example: towpath review 7")
def review(number: Number, *, as_json: AsJson = False) -> None:
    """Say whether a pull request may merge, and if not, why.

    The required check: exits with 7 when it may not. What counts is what the merge would do to main as main is now.
    """
    workspace = Workspace.here()
    with working(f"Reviewing #{number}"):
        found = judge(workspace.desk, number)
    if as_json:
        emit(found.plain() | {"ok": found.ok})
    else:
        _tell(found)
    if not found.ok:
        raise RefusedError(f"Pull request #{number} may not be merged")


def _tell(found: Review) -> None:
    say(f"[bold]#{found.number}[/] {plain(found.title)}")
    for reason in found.reasons:
        say(f"{mark('failed')} [bold]{plain(reason.rule)}[/]: {plain(reason.what)}")
        if reason.mend:
            say(f"    [cyan]→ {plain(reason.mend)}[/]")
    if found.ok:
        by = f", approved by {', '.join(found.approved_by)}" if found.approved_by else ""
        say(f"{mark('ok')} It may be merged{plain(by)}.")
        next_step(f"towpath merge {found.number}")
