"""`towpath doctor`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.console import emit, mark, plain, say
from towpath_ci.doctor import CHECKS
from towpath_ci.doctor.base import Result, State, diagnose
from towpath_ci.doctor.inputs import gather
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson

app = verb()


@app.command(epilog="Example: towpath doctor")
def doctor(
    *,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show checks that do not apply here, too.")] = False,
) -> None:
    """Say what is missing here, and the command that mends it.

    Works outside of a repository, too. Exits with 1 when something is broken; warnings alone exit with 0.
    """
    results = list(diagnose(CHECKS, gather(Path.cwd())))
    if as_json:
        emit([result.plain() for result in results])
    else:
        _tell(results, verbose=verbose)
    if any(result.state is State.FAIL for result in results):
        raise typer.Exit(1)


def _tell(results: list[Result], *, verbose: bool) -> None:
    for result in results:
        if result.state is State.SKIPPED and not verbose:
            continue
        say(f"{mark(result.state)} {plain(result.title)}")
        if result.reason:
            say("\n".join(f"    {plain(line)}" for line in result.reason.splitlines()))
        if result.advice:
            say(f"    [dim]{plain(result.advice)}[/]\n    [cyan]→ {plain(result.mend)}[/]")
    if not verbose:
        _tell_skipped([result.reason for result in results if result.state is State.SKIPPED and result.reason])
    broken = sum(result.state is State.FAIL for result in results)
    warned = sum(result.state is State.WARN for result in results)
    say(f"\n{broken} broken, {warned} to look at" if broken or warned else "\nAll is well.")


def _tell_skipped(reasons: list[str]) -> None:
    """Say once for each reason how many checks it kept from being made: what was not looked at did not pass."""
    for reason, count in Counter(reasons).items():
        say(f"{mark(State.SKIPPED)} [dim]{count} not looked at: {plain(reason)}[/]")
