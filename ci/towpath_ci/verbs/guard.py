"""`towpath guard`."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Final

import typer

from towpath_ci.alerts import alert, is_anybody_listening
from towpath_ci.console import complain, emit, mark, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson
from towpath_ci.sweeps import ending
from towpath_ci.webhook import VARIABLE
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.guard import Look, State
from towpath_gitops.delivery.guard import guard as look_at
from towpath_gitops.delivery.incident import Incident
from towpath_gitops.delivery.windows import Judgement
from towpath_gitops.errors import GuardError, TowpathError
from towpath_gitops.records.base import short

app = verb()

Watch = Annotated[bool, typer.Option("--watch", help="Look again after every window, until interrupted.")]

_WORDS: Final = {"pass": "healthy", "fail": "does harm", "inconclusive": "inconclusive"}


@app.command(epilog="Example: towpath guard --environment production --watch")
def guard(*, environment: AnyEnvironment = None, watch: Watch = False, as_json: AsJson = False) -> None:
    """Watch what is live; take back what does harm.

    One look replays the golden requests and reads what the service has counted; the last windows are judged by `guard`
    in gitops/policy.yaml. It may run from a timer: looks are kept in .towpath/guard. Exits with 18 while a release does
    harm or was taken back. Alerts go to the address in TOWPATH_ALERT_WEBHOOK, and to Prefect where PREFECT_API_URL is
    set.
    """
    if watch:
        _watch(environment, as_json=as_json)
        return
    looks, failures = _look(environment, as_json=as_json)
    if failures:
        raise typer.Exit(failures[0].exit_code)
    incidents = [incident for look in looks for incident in look.incidents]
    if incidents:
        raise GuardError(incidents[0].summary, why=incidents[0].figures, hint=incidents[0].command)


def _watch(environment: str | None, *, as_json: bool) -> None:
    """Look after every window until the process is asked to end; nothing that is found ends it."""
    stop = threading.Event()
    with ending(stop):
        while not stop.is_set():
            looks, _ = _look(environment, as_json=as_json)
            for incident in (incident for look in looks for incident in look.incidents):
                complain(GuardError(incident.summary, why=incident.figures, hint=incident.command))
            stop.wait(_pause_s())


def _pause_s() -> float:
    """Return the shortest window of the policy's guards, in seconds."""
    try:
        environments = _workspace().policy.environments
    except TowpathError:
        environments = ()
    windows = [each.guard.window.total_seconds() for each in environments if each.guard]
    return min(windows, default=60.0)


def _look(environment: str | None, *, as_json: bool) -> tuple[Sequence[Look], Sequence[TowpathError]]:
    """Look at each environment once and tell what was found; one that fails does not keep the others waiting."""
    workspace = _workspace()  # a new one for every look: main may have moved
    looks: list[Look] = []
    failures: list[TowpathError] = []
    for name in workspace.chosen(environment):
        try:
            looks.append(look_at(workspace.desk, workspace.registry, name, workspace.model, alert=alert))
        except TowpathError as error:
            complain(error)
            failures.append(error)
    if as_json:
        emit([_plain(look) for look in looks])
    else:
        _tell(looks)
    return looks, failures


def _workspace() -> Workspace:
    """Return the workspace as this clone knows it: the guard asks the remote itself, and goes on without it."""
    return replace(Workspace.here(), fresh=False)


# --- telling ------------------------------------------------------------------------------------------------------


def _tell(looks: Iterable[Look]) -> None:
    looks = list(looks)
    for look in looks:
        _tell_one(look)
    if all(look.state is State.UNGUARDED for look in looks):
        say("Set `guard` for an environment in gitops/policy.yaml and merge it, and it is watched.")
    elif any(look.incidents for look in looks) and not is_anybody_listening():
        say(f"{mark('warn')} Nobody is told but this terminal: {VARIABLE} is not set.")


def _tell_one(look: Look) -> None:
    place = f"[bold]{plain(look.environment)}[/]"
    if look.state in {State.UNGUARDED, State.UNDECLARED}:
        why = "no guard is set" if look.state is State.UNGUARDED else "nothing is declared"
        say(f"{mark('skipped')} {place}: {why}")
    elif look.shift:
        taken = short(look.shift.release)
        say(f"{mark('failed')} {place} [bold red]DIVERGED[/]: {taken} was taken back, {plain(look.release)} serves")
        say(f"    since {look.shift.since:%Y-%m-%d %H:%M:%S %Z}: {plain(look.shift.figures)}")
        asked = f"pull request #{look.pull} asks main to follow" if look.pull else "no pull request is open for it"
        say(f"    {asked}")
    else:
        say(f"{_sign(look)} {place}: {plain(look.release)}")
    for lane, judgement in look.judgements.items():
        name = "" if lane == "champion" else f"{lane}: "
        say(f"    {name}{_WORDS[judgement.verdict.value]}: {plain(judgement)}")
    for note in look.notes:
        say(f"    {mark('warn')} {plain(note)}")


def _sign(look: Look) -> str:
    signs = {"pass": mark("ok"), "fail": mark("failed")}
    return signs.get(look.verdict.value if look.verdict else "", "[yellow]?[/]")


def _plain(look: Look) -> dict[str, object]:
    return {
        "environment": look.environment,
        "model": look.model,
        "state": look.state,
        "release": look.release.id if look.release else None,
        "verdict": look.verdict,
        "lanes": {lane: _judgement(judgement) for lane, judgement in look.judgements.items()},
        "taken_back": look.shift.release if look.shift else None,
        "since": look.shift.since.isoformat() if look.shift else None,
        "pull": look.pull,
        "incidents": [_incident(incident) for incident in look.incidents],
        "told": look.told,
        "notes": list(look.notes),
    }


def _judgement(judgement: Judgement) -> dict[str, object]:
    return {
        "verdict": judgement.verdict,
        "good": judgement.good,
        "bad": judgement.bad,
        "of": judgement.of,
        "figures": judgement.figures,
    }


def _incident(incident: Incident) -> dict[str, object]:
    return incident.plain()
