"""`towpath status`."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from towpath_ci.console import ago, emit, mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.standing import Standing, State, disagreements, is_elsewhere, standing
from towpath_gitops.errors import TowpathError
from towpath_gitops.forges.base import Pull
from towpath_gitops.forges.base import State as PullState
from towpath_gitops.promotion.safety import Return
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import PinnedRelease
from towpath_gitops.records.release import Release

app = verb()

NoRegistry = Annotated[bool, typer.Option("--no-registry", help="Do not ask the registry for its aliases.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say of each earlier release why one may not go back to it.")]

_LOOKS: Final = {
    State.SERVING: "[green]✓ serving[/]",
    State.DIVERGED: "[bold red]✗ DIVERGED[/]",
    State.NOT_RUNNING: "[red]✗ not running[/]",
    State.CONVERGING: "[yellow]… converging[/]",
    State.NO_FILE: "[red]✗ no file[/]",
    State.UNREADABLE: "[red]✗ unreadable[/]",
}
_AT_REST: Final = (State.SERVING, State.UNDECLARED, State.NO_FILE, State.UNREADABLE)
_REGISTRY_S: Final = 8.0  # its client alone takes seconds to load
# Whoever asks how things stand does not want to wait for what is away.
_IMPATIENT: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_INDENT: Final = " " * 12


@app.command(epilog="Example: towpath status --explain")
def status(
    *,
    environment: AnyEnvironment = None,
    explain: Explain = False,
    no_registry: NoRegistry = False,
    as_json: AsJson = False,
) -> None:
    """Show what is declared and what is served, everywhere.

    Declared is what main says; served is what the service itself answers now. Says as well how it was verified and
    what the guard has seen, what is blocked, tried or proposed, and which earlier releases one may go back to now.
    """
    workspace = Workspace.here()
    aliases = None if no_registry else _Aliases(workspace)
    pulls, notes = _pulls(workspace)
    now = datetime.now(UTC)
    found = [
        standing(workspace.desk, workspace.registry, workspace.policy, name, workspace.model, now=now, pulls=pulls)
        for name in workspace.chosen(environment)
    ]
    named, silent = aliases.wait() if aliases else (None, "")
    notes += [silent] if silent else []
    wrong = [
        [] if named is None else disagreements(workspace.policy, each.environment, each.deployment, named)
        for each in found
    ]
    if as_json:
        emit([_plain(each, named, said) for each, said in zip(found, wrong, strict=True)])
        return
    for each, said in zip(found, wrong, strict=True):
        _tell(each, said, now, explain=explain)
    for note in notes:
        say(f"[dim]{plain(note)}[/]")
    _next(found)


# --- what may be away ---------------------------------------------------------------------------------------------


def _pulls(workspace: Workspace) -> tuple[Sequence[Pull], list[str]]:
    try:
        return workspace.forge.list(PullState.OPEN), []
    except TowpathError as error:
        return (), [f"Pull requests are not shown: {error.what}"]


class _Aliases:
    """The registry's aliases, asked for in the background and waited for no longer than it is worth."""

    def __init__(self, workspace: Workspace) -> None:
        for name, value in _IMPATIENT.items():
            os.environ.setdefault(name, value)
        self._found: list[Mapping[str, int]] = []
        self._failed = "it does not answer in time"
        self._thread = threading.Thread(target=self._ask, args=(workspace,), daemon=True)
        self._thread.start()

    def _ask(self, workspace: Workspace) -> None:
        try:
            self._found.append(workspace.registry.aliases(workspace.model))
        except TowpathError as error:
            self._failed = error.what

    def wait(self) -> tuple[Mapping[str, int] | None, str]:
        """Return the aliases, or None and why not."""
        self._thread.join(_REGISTRY_S)
        return (self._found[0], "") if self._found else (None, f"The registry's aliases are not shown: {self._failed}")


# --- for people ---------------------------------------------------------------------------------------------------


def _tell(each: Standing, wrong: Sequence[str], now: datetime, *, explain: bool) -> None:
    """Print an environment in a few lines, which fit any terminal."""
    say("  ".join(filter(None, (f"[bold]{plain(each.environment):<{len(_INDENT)}}[/]", *_head(each, now)))))
    for line in (*_lines(each, wrong, now), *_ways_back(each, explain=explain)):
        say(f"{_INDENT}  {line}")


def _head(each: Standing, now: datetime) -> Iterator[str]:
    timer = ""
    if each.state is State.DIVERGED and each.shift:
        timer = f" for {ago((now - each.shift.since).total_seconds())}"
    yield _LOOKS.get(each.state, each.state) + timer
    if each.deployment and each.deployment.release:
        yield _pinned(each.deployment.release)
    if each.state is State.SERVING and each.since:
        yield f"for {ago((now - each.since).total_seconds())}"


def _lines(each: Standing, wrong: Sequence[str], now: datetime) -> Iterator[str]:
    yield from (f"[red]{plain(line.strip())}[/]" for line in each.problem.splitlines())
    if each.state is State.DIVERGED:
        yield from _diverged(each)
    if each.observed.running:
        yield f"[dim]{plain(each.observed.details.get('address', ''))}[/]"
    if each.deployment and each.deployment.change:
        change = each.deployment.change
        yield f"[dim]{change.type}: {plain(change.reason)}[/]"
        yield from [] if each.problem else [f"[dim]{_verified(each, now)}[/]"]
    if each.judgement:
        judgement = each.judgement
        counted = f"{judgement.good} good and {judgement.bad} bad of the last {judgement.of} windows"
        yield f"[dim]guard: {mark(judgement.verdict.value)}, {counted}[/]"
        yield from (f"[dim]  {plain(fault)}[/]" for fault in filter(None, [judgement.figures]))
    if each.deployment and each.deployment.experiment:
        experiment = each.deployment.experiment
        yield f"[cyan]{experiment.mode}: {_pinned(experiment.challenger)}, {experiment.share:.0%} of requests[/]"
    if each.deployment and each.deployment.hold:
        blocked = ", ".join(map(short, each.deployment.blocked))
        yield f"[yellow]blocked: {blocked}: {plain(each.deployment.hold.reason)}[/]"
    yield from (f"[yellow]{plain(line)}[/]" for line in wrong)
    yield from (f"open: [bold]#{pull.number}[/] {plain(pull.title)}" for pull in each.pulls)


def _diverged(each: Standing) -> Iterator[str]:
    serves = each.shift.to.release if each.shift and each.served == each.shift.to.release.id else None
    yield f"[red]it serves {_named(serves) if serves else short(each.served or '')} instead[/]"
    if each.shift:
        yield f"[red]taken back by the guard: {plain(each.shift.figures)}[/]"


def _verified(each: Standing, now: datetime) -> str:
    entry = each.verified
    if entry is None or entry.verdict is None:
        return "never verified"
    return f"verified {ago((now - entry.time).total_seconds())} ago: {mark(entry.verdict.value)}"


def _ways_back(each: Standing, *, explain: bool) -> Iterator[str]:
    """Say which earlier releases one may go back to now, and of the others how many, or why not."""
    safe = [candidate.release for candidate in each.returns if not candidate.reasons]
    unsafe = [candidate for candidate in each.returns if candidate.reasons]
    if safe:
        yield f"[green]safe to return to: {', '.join(map(_named, safe))}[/]"
    elif each.returns:
        yield "[yellow]no earlier release is safe to return to[/]"
    if explain:
        yield from (line for candidate in unsafe for line in _why_not(candidate))
    elif unsafe:
        yield f"[dim]and {len(unsafe)} that {'is' if len(unsafe) == 1 else 'are'} not: towpath status --explain[/]"


def _why_not(candidate: Return) -> Iterator[str]:
    if is_elsewhere(candidate):
        yield f"{mark('warn')} {_named(candidate.release)}: its files would have to be fetched first"
        return
    yield f"{mark('failed')} {_named(candidate.release)}"
    yield from (f"  {reason.rule}: {plain(reason)}" for reason in candidate.reasons)


def _next(found: Sequence[Standing]) -> None:
    shifted = [pull for each in found if each.shift for pull in each.pulls]
    if shifted:
        next_step(*(f"towpath review {pull.number}" for pull in shifted))
    elif any(each.state not in _AT_REST for each in found):
        next_step("towpath reconcile")


def _pinned(release: PinnedRelease) -> str:
    return f"{release.semver} ({short(release.id)})"


def _named(release: Release) -> str:
    return f"{release.semver} ({release.short_id})"


# --- for programs -------------------------------------------------------------------------------------------------


def _plain(each: Standing, aliases: Mapping[str, int] | None, wrong: Sequence[str]) -> dict[str, object]:
    deployment, version = each.deployment, each.observed.version
    return {
        "environment": each.environment,
        "model": each.model,
        "state": each.state,
        "declared": each.declared,
        "semver": deployment.release.semver if deployment and deployment.release else None,
        "served": each.served,
        "since": each.since.isoformat() if each.since else None,
        "workers": len(version.workers) if version else 0,
        "error": version.error if version else None,
        "verified": each.verified.plain() if each.verified else None,
        "guard": _guard(each),
        "shift": _shift(each),
        "experiment": deployment.experiment.plain() if deployment and deployment.experiment else None,
        "blocked": list(deployment.blocked) if deployment else [],
        "aliases": None if aliases is None else dict(aliases),
        "disagreements": list(wrong),
        "pulls": [{"number": pull.number, "title": pull.title} for pull in each.pulls],
        "returns": [_return(candidate) for candidate in each.returns],
        "problem": each.problem or None,
        "details": dict(each.observed.details),
    }


def _guard(each: Standing) -> dict[str, object] | None:
    judgement = each.judgement
    if judgement is None:
        return None
    counts = {"good": judgement.good, "bad": judgement.bad, "of": judgement.of}
    return {"verdict": judgement.verdict, **counts, "figures": judgement.figures}


def _shift(each: Standing) -> dict[str, object] | None:
    shift = each.shift
    if shift is None:
        return None
    return {
        "release": shift.release,
        "to": shift.to.release.id,
        "since": shift.since.isoformat(),
        "figures": shift.figures,
    }


def _return(candidate: Return) -> dict[str, object]:
    return {
        "release": candidate.release.id,
        "semver": candidate.release.semver,
        "safe": not candidate.reasons,
        "elsewhere": is_elsewhere(candidate),
        "reasons": [reason.plain() for reason in candidate.reasons],
    }
