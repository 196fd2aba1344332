"""`towpath promote`."""

from typing import Annotated

import typer

from towpath_ci.console import next_step, plain, say, working
from towpath_ci.decisions import tell_decision
from towpath_ci.lazy import verb
from towpath_ci.options import CarriedBy, Selector
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.proposal import propose_promotion

app = verb()

To = Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="Which environment should serve it.")]


Why = Annotated[
    str | None,
    typer.Option("--reason", "-m", help="Why, in a few words; kept in the file and in the history."),
]
Hotfix = Annotated[
    bool,
    typer.Option("--hotfix", help="Around the environments before; more approvals, a reason, and it stays flagged."),
]


@app.command(epilog="Example: towpath promote 2.1.0 --to staging --reason 'weekly retrain'")
def promote(release: Selector, *, to: To, reason: Why = None, hotfix: Hotfix = False, image: CarriedBy = None) -> None:
    """Propose that an environment serves a release.

    Opens a pull request with one edited environment file, the evidence, and a document for whoever decides. Proposing
    the same again adopts the pull request that is open. What is missing: towpath policy explain.
    """
    if hotfix and not reason:
        raise RefusedError(
            "A hotfix needs a reason", why="It goes around what others rely on.", hint="Say why: --reason '…'"
        )
    workspace = Workspace.here()
    with working("Collecting the evidence"):
        found = workspace.find(release)
        pull = propose_promotion(
            workspace.desk,
            environment=to,
            release=found,
            reason=reason or "a newer release",
            hotfix=hotfix,
            image=image,
        )
    present(pull)


def present(pull: Pull) -> None:
    """Print a proposal in short, where the whole decision document is, and what comes next."""
    tell_decision(pull)
    say(f"[dim]The whole document: towpath pulls {pull.number}; at {plain(pull.address)}[/]")
    next_step(f"towpath review {pull.number}", f"towpath approve {pull.number}   (somebody else)")
