"""`towpath merge`."""

from towpath_ci.console import mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import Number
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.branches import place_of
from towpath_gitops.promotion.review import merge_reviewed

app = verb()


@app.command(epilog="Example: towpath merge 7")
def merge(number: Number) -> None:
    """Review once more and merge a pull request.

    What is merged is exactly what was reviewed: when main or the branch moves meanwhile, it looks again. Proposals that
    this makes stale are closed.
    """
    workspace = Workspace.here()
    with working(f"Reviewing and merging #{number}"):
        pull = merge_reviewed(workspace.desk, number)
    say(f"{mark('ok')} Merged #{pull.number}: {plain(pull.title)} ({(pull.merged or '')[:12]})")
    place = place_of(pull.branch)
    next_step(f"towpath reconcile --environment {place.environment}" if place else "towpath reconcile")
