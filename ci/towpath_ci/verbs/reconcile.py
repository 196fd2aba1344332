"""`towpath reconcile`."""

from typing import Annotated

import typer

from towpath_ci.announcements import announce, announce_failure
from towpath_ci.console import Progress, complain, emit, mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson
from towpath_ci.sweeps import sweep, sweeper_of, watch
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.delivery.reconcile import reconcile as bring_about
from towpath_gitops.delivery.sweep import LIMIT
from towpath_gitops.delivery.undelivered import is_undelivered
from towpath_gitops.delivery.watch import INTERVAL_S
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.base import short

app = verb()

AcceptRewritten = Annotated[
    bool, typer.Option("--accept-rewritten", help="Follow main although its history no longer holds what was applied.")
]
Mend = Annotated[
    bool, typer.Option("--mend", help="Only keep up what was delivered before; leave what is new to its own delivery.")
]


Everywhere = Annotated[bool, typer.Option("--all", help="Every model and environment that main declares, in one pass.")]
Limit = Annotated[int, typer.Option(min=1, help="With --all: move at most so many; the others are told as pending.")]
Forever = Annotated[bool, typer.Option("--watch", help="With --all: again and again, until it is interrupted.")]
Interval = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="With --watch: how often main is looked at.")]


@app.command(epilog="Example: towpath reconcile --environment production")
def reconcile(  # noqa: PLR0913 (a verb's options)
    *,
    environment: AnyEnvironment = None,
    everywhere: Everywhere = False,
    limit: Limit = LIMIT,
    forever: Forever = False,
    interval: Interval = INTERVAL_S,
    mend: Mend = False,
    accept_rewritten: AcceptRewritten = False,
    as_json: AsJson = False,
) -> None:
    """Make environments serve what main declares, and verify it.

    Only merged commits are obeyed. It may be interrupted and repeated at any time; nothing to do is a success. An
    environment that fails does not keep the others waiting; the exit code is that of the first failure.

    With --all what was verified today, and says that it serves what is declared, is not asked its golden requests
    again; without, every environment is.
    """
    if everywhere or forever:
        if mend:
            raise typer.BadParameter("--mend looks at one model; leave out --all")
        whole = Workspace.of_all()
        sweeper = sweeper_of(whole, environment, limit, accept_rewritten=accept_rewritten)
        if forever:
            watch(whole, sweeper, interval)
        else:
            sweep(whole, sweeper, as_json=as_json)
    else:
        _reconcile(Workspace.here(), environment, mend=mend, accept_rewritten=accept_rewritten, as_json=as_json)


def _reconcile(
    workspace: Workspace, environment: str | None, *, mend: bool, accept_rewritten: bool, as_json: bool
) -> None:
    """Reconcile the one model of a workspace, in one environment or in all."""
    found: list[dict[str, object]] = []
    failures: list[TowpathError] = []
    for name in workspace.chosen(environment):
        try:
            if mend and is_undelivered(workspace.repository, name, workspace.model):
                found.append({"environment": name, "model": workspace.model, "waiting": True})
                if not as_json:
                    say(f"{mark('skipped')} [bold]{plain(name)}[/]: what is new waits for its own delivery.")
                continue
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
            announce_failure(workspace, name, error)
            failures.append(error)
            found.append({"environment": name, "model": workspace.model, "error": str(error)})
            continue
        found.append(_plain(outcome))
        announce(workspace, outcome)
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
    what = f"[bold]{plain(outcome.release)}[/]{plain(outcome.beside)}"
    say(f"{mark('ok')} {place} {done} {what}, verified in {took_s:.1f} s")
    if outcome.shift:
        say(f"    {mark('warn')} DIVERGED: main declares {short(outcome.shift.release)}, which the guard took back")
        say(f"      {plain(outcome.shift.figures)}")
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
        "declared": outcome.shift.release if outcome.shift else outcome.release.id if outcome.release else None,
        "challenger": outcome.experiment.challenger.id if outcome.experiment else None,
        "changed": outcome.changed,
        "verdict": outcome.verdict,
        "verified_after_s": round(outcome.verified_after_s, 3),
        "steps": [list(step) for step in outcome.steps],
        "notes": list(outcome.notes),
    }
