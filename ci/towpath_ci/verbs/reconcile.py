"""`towpath reconcile`."""

from typing import Annotated

import typer

from towpath_ci.console import Progress, complain, emit, mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.delivery.reconcile import reconcile as bring_about
from towpath_gitops.errors import TowpathError

app = verb()

AcceptRewritten = Annotated[
    bool, typer.Option("--accept-rewritten", help="Follow main although its history no longer holds what was applied.")
]


@app.command(epilog="Example: towpath reconcile --environment production")
def reconcile(
    *, environment: AnyEnvironment = None, accept_rewritten: AcceptRewritten = False, as_json: AsJson = False
) -> None:
    """Make environments serve what main declares, and verify it.

    Only merged commits are obeyed. It may be interrupted and repeated at any time; nothing to do is a success. An
    environment that fails does not keep the others waiting; the exit code is that of the first failure.
    """
    workspace = Workspace.here()
    found: list[dict[str, object]] = []
    failures: list[TowpathError] = []
    for name in workspace.chosen(environment):
        try:
            with Progress(name) as progress:
                outcome = bring_about(
                    workspace.repository,
                    workspace.registry,
                    name,
                    workspace.model,
                    progress=progress.step,
                    accept_rewritten=accept_rewritten,
                )
        except TowpathError as error:
            complain(error)
            failures.append(error)
            found.append({"environment": name, "model": workspace.model, "error": str(error)})
            continue
        found.append(_plain(outcome))
        if not as_json:
            _tell(outcome, progress.took_s)
    if as_json:
        emit(found)
    if failures:
        raise typer.Exit(failures[0].exit_code)
    if not as_json:
        next_step("towpath status")


def _tell(outcome: Outcome, took_s: float) -> None:
    place = f"[bold]{plain(outcome.environment)}[/]"
    if outcome.release is None:
        say(f"{mark('skipped')} {place}: nothing is declared yet; nothing was touched.")
        return
    done = "now serves" if outcome.changed else "serves"
    say(f"{mark('ok')} {place} {done} [bold]{plain(outcome.release)}[/], verified in {took_s:.1f} s")
    for step, note in outcome.steps:
        say(f"    {plain(step)}: {plain(note)}")
    for finding in outcome.evidence.findings if outcome.evidence else ():
        say(f"    {mark(finding.verdict.value)} {plain(finding.gate)}: {plain(finding.message)}")
    for note in outcome.notes:
        say(f"    {mark('warn')} {plain(note)}")


def _plain(outcome: Outcome) -> dict[str, object]:
    return {
        "environment": outcome.environment,
        "model": outcome.model,
        "commit": outcome.commit,
        "release": outcome.release.id if outcome.release else None,
        "changed": outcome.changed,
        "verdict": outcome.verdict,
        "verified_after_s": round(outcome.verified_after_s, 3),
        "steps": [list(step) for step in outcome.steps],
        "notes": list(outcome.notes),
    }
