"""`towpath train`."""

from time import monotonic
from typing import Annotated, Any

import typer

from towpath_ci.console import mark, next_step, plain, say
from towpath_ci.flows import briskly, run_flow
from towpath_ci.lazy import verb
from towpath_ci.options import Since, Until
from towpath_ci.verbs.show import tell_evidence
from towpath_ci.workspace import Workspace
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.release import Release
from towpath_gitops.signers import configured

app = verb()


Sample = Annotated[
    int | None,
    typer.Option("--sample", metavar="ROWS", min=100, help="Rehearse on so many rows; register nothing."),
]
Again = Annotated[bool, typer.Option("--again", help="Train also where nothing has changed since a release.")]


@app.command(epilog="Example: towpath train --until 2026-03-01")
def train(*, since: Since = None, until: Until = None, sample: Sample = None, again: Again = False) -> None:
    """Train, judge and register a release: run flows/train.py.

    Uses the rows that `data.window` in model.yaml names unless told otherwise. Where the same rows, code and parameters
    have given a release already, nothing is trained and that release is named. A release that misses a gate is
    registered, too: it can be looked at, and every environment that asks for the evidence refuses it. The release is
    signed when TOWPATH_SIGNING_KEY names a private key. With --sample every row is checked and every stage runs, on few
    rows and with one trial: for continuous integration.
    """
    workspace = Workspace.here()
    key = configured()
    if key is not None:
        key.opened()  # better refused now than after the training
    given = {"since": since, "until": until, "sample": sample, "again": again or None}
    with briskly():
        _train(workspace, given, signed=key is not None)


def _train(workspace: Workspace, given: dict[str, Any], *, signed: bool) -> None:
    """Run the flow and tell what became of it."""
    start = monotonic()
    known = {release.id for release in workspace.registry.releases(workspace.model)}
    release_id = run_flow(workspace.root, "train", **given)
    took = f"{monotonic() - start:.0f} s"
    if not isinstance(release_id, str):
        say(f"{mark('ok')} The flow ended in {took} without registering a release.")
        return
    release = workspace.find(release_id)
    if release.id in known:
        say(f"{mark('ok')} Nothing has changed since [bold]{plain(release)}[/]: nothing was trained, in {took}")
        next_step(f"towpath show {release.short_id}", "towpath train --again")
        return
    _tell(workspace, release, took, signed=signed)


def _tell(workspace: Workspace, release: Release, took: str, *, signed: bool) -> None:
    """Say what was registered, whether it may go further, and how."""
    evidence = workspace.registry.evidence(release)
    tell_evidence(evidence)
    say(f"\n{mark('ok')} Registered{' and signed' if signed else ''} [bold]{plain(release)}[/] in {took}")
    red = [kind.value for kind, item in evidence.items() if item.verdict is not Verdict.PASS]
    if red:
        say(f"{mark('warn')} Where its {', '.join(red)} evidence is asked for, it will be refused.")
    first = workspace.environments[0] if workspace.is_published else "staging"
    next_step(f"towpath promote {release.short_id} --to {first}", f"towpath show {release.short_id}")
