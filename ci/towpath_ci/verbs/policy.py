"""`towpath policy`."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from towpath_ci.console import ago, emit, mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.explanation import Explanation
from towpath_gitops.promotion.explanation import explain as explained
from towpath_gitops.promotion.requirement import Requirement, Standing
from towpath_gitops.records.base import format_duration
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.policy import Environment, Freeze, Policy

app = verb()

_LOOKS: Final = {Standing.MET: mark("ok"), Standing.MISSING: mark("failed"), Standing.WAITING: "[yellow]…[/]"}

To = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="Which environment it should enter.")]
Hotfix = Annotated[bool, typer.Option("--hotfix", help="By the lane for hotfixes.")]


@app.callback(invoke_without_command=True, epilog="Example: towpath policy explain production 2.1.0")
def policy(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say what the policy asks for; explain what is missing.

    Alone it prints the policy that main holds in words; `explain` says of one release how each requirement stands.
    """
    if context.invoked_subcommand is None:
        found = Workspace.here().policy
        if as_json:
            emit(found.plain())
            return
        for line in in_words(found):
            say(plain(line))


@app.command(epilog="Example: towpath policy explain production 2.1.0")
def explain(environment: To, release: Selector, *, hotfix: Hotfix = False, as_json: AsJson = False) -> None:
    """Say line by line what is asked before a release may enter an environment, what is missing and what would mend it.

    The lines are those by which review judges. Nothing is proposed and nothing is changed.
    """
    workspace = Workspace.here()
    with working("Looking at the evidence and the ledger"):
        found = explained(workspace.desk, environment, workspace.find(release), hotfix=hotfix)
    if as_json:
        emit(found.plain() | {"eligible": found.eligible})
        return
    _tell(found, release)


def _tell(found: Explanation, selector: str) -> None:
    way = "a hotfix" if found.change is ChangeType.HOTFIX else "a promotion"
    say(f"[bold]{plain(found.release)}[/] to [bold]{found.environment}[/], as {way}:")
    for line in found.requirements:
        say(f"{_LOOKS[line.standing]} {plain(line.what)}{plain(_wait(line, found.now))} [dim]{line.rule}[/]")
        if line.mend:
            say(f"    [cyan]→ {plain(line.mend)}[/]")
    say(plain(_verdict(found)))
    if found.pull:
        next_step(f"towpath review {found.pull}")
    elif found.eligible:
        lane = " --hotfix --reason '…'" if found.change is ChangeType.HOTFIX else ""
        next_step(f"towpath promote {selector} --to {found.environment}{lane}")


def _wait(line: Requirement, now: datetime) -> str:
    return f"; met {_in(line.at - now)}" if line.at else ""


def _verdict(found: Explanation) -> str:
    if found.eligible:
        return "It is eligible: a pull request is missing nothing but its approvals."
    if found.eligible_at:
        last = max((line for line in found.requirements if line.at), key=lambda line: line.at or found.now)
        ends = {"soak": "the soak ends", "freeze": "the freeze ends"}[last.rule]
        return f"It becomes eligible {_in(found.eligible_at - found.now)}, when {ends}, if nothing else changes."
    open_ = sum(line.standing is Standing.MISSING for line in found.requirements)
    if not open_:
        return "Waiting alone does not make it eligible: by then other requirements are no longer met."
    return f"It is not eligible: {open_} requirement{'s are' if open_ > 1 else ' is'} missing."


def _in(wait: timedelta) -> str:
    return f"in {ago(wait.total_seconds())}"


# --- the policy in words ------------------------------------------------------------------------------------------


def in_words(found: Policy) -> Iterator[str]:
    """Yield the lines that say what a policy asks for."""
    for environment in found.environments:
        yield from _environment(found, environment)
    yield f"The way back needs {_approvals(found.rollback.approvals)}; no freeze stops it."
    if found.hotfix is None:
        yield "There is no way around an environment: no lane for hotfixes."
    else:
        stops = "is stopped by a freeze, too" if found.hotfix.frozen else "is not stopped by a freeze"
        yield f"A hotfix goes around the environments before with {_approvals(found.hotfix.approvals)} and {stops}."
    if found.signing is not None:
        yield f"Releases are signed ({found.signing.method}); {_UNSIGNED[found.signing.unsigned]}."


_UNSIGNED: Final = {"refuse": "what is unsigned is refused", "allow": "what is unsigned is let through, and told"}


def _environment(found: Policy, environment: Environment) -> Iterator[str]:
    before = found.upstream(environment.name)
    comes = f"comes after {before.name}" if before else "comes first"
    yield f"{environment.name} {comes} and needs {_approvals(environment.approvals)}."
    if environment.evidence:
        kinds = (f"{kind} (good for {format_duration(life)})" for kind, life in environment.evidence.items())
        yield f"  Evidence: {', '.join(kinds)}."
    if before:
        soak = f", healthy for {format_duration(environment.soak)} without a break" if environment.soak else ""
        yield f"  The release must be verified in {before.name}, and serve there{soak}."
    for freeze in environment.freeze:
        yield f"  Frozen {_freeze(freeze)}."
    if environment.guard:
        guard = environment.guard
        acts = "moves traffic back at once" if guard.automatic else "alerts"
        yield f"  The guard {acts} after {guard.bad} bad windows of {guard.of}, {format_duration(guard.window)} each."


def _freeze(freeze: Freeze) -> str:
    if freeze.since and freeze.until:
        when = f"from {freeze.since:%Y-%m-%d %H:%M} until {freeze.until:%Y-%m-%d %H:%M}"
    else:
        when = f"for {format_duration(freeze.lasts or timedelta())} from each {freeze.cron}"
    return f"{when}, {freeze.timezone}: {freeze.name}"


def _approvals(number: int) -> str:
    return f"{number} approval{'' if number == 1 else 's'}" if number else "no approval"
