"""`towpath drill`."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from towpath_ci.console import Progress, emit, mark, plain, say, table
from towpath_ci.drills import DRILLS
from towpath_ci.drills.base import Drill, Result, run
from towpath_ci.drills.stage import Stage
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_gitops.errors import DrillError, NotFoundError

app = verb()

_SHORT: Final = 80  # characters of a reason in the table; all of it is told before

Names = Annotated[list[str] | None, typer.Argument(metavar="[DRILL]...", help="Only these; all of them by default.")]
# What would lead a drill out of its own repository.
_LEADING_OUT = ("MLFLOW_", "PREFECT_", "TOWPATH_", "GIT_", "OPENLINEAGE_")


@app.command(epilog="Example: towpath drill LeakyModel ForgedApproval")
def drill(names: Names = None, *, as_json: AsJson = False) -> None:
    """Inject faults and prove that each gate refuses its own.

    In a repository made for the purpose and thrown away, with a small model and real parts: nothing of yours is
    touched. Each drill also shows that its gate lets the same thing pass without the fault. Exits with 14 when a gate
    did not refuse.
    """
    wanted = _chosen(names)
    results: list[Result] = []
    with TemporaryDirectory(prefix="towpath-drill-", ignore_cleanup_errors=True) as folder, _alone():
        stage = Stage(Path(folder))
        try:
            for each in wanted:
                with Progress("Drill") as progress:
                    progress.step(each.title())
                    results += run([each], stage)
                if not as_json:
                    _tell(results[-1])
        finally:
            stage.strike()
    if as_json:
        emit([result.plain() for result in results])
    else:
        _sum_up(results)
    broken = [result.drill for result in results if not result.held]
    if broken:
        raise DrillError(
            f"{len(broken)} of {len(results)} drills failed: {', '.join(broken)}",
            why="A gate that lets its known-bad fixture through, or refuses everything, protects nobody.",
            hint="Promote nothing until it holds again.",
        )


def _chosen(names: list[str] | None) -> list[type[Drill]]:
    known = {each.__name__: each for each in DRILLS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise NotFoundError(f"There is no drill called {', '.join(unknown)}", why=f"Known: {', '.join(known)}.")
    return [each for name, each in known.items() if not names or name in names]


@contextmanager
def _alone() -> Iterator[None]:
    """Leave out what the user has set for their own repository, and what stages say to nobody here."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(_LEADING_OUT):
            del os.environ[name]
    logger = logging.getLogger("towpath")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        os.environ.clear()
        os.environ.update(kept)


def _tell(result: Result) -> None:
    say(f"{mark('ok' if result.held else 'failed')} [bold]{plain(result.title)}[/] [dim]{result.seconds:.1f} s[/]")
    say(f"    injected: {plain(result.injected)}")
    who = f"refused by {result.gate}: " if result.held else ""
    say(f"    {plain(who + result.reason)}")


def _sum_up(results: list[Result]) -> None:
    say("")
    rows = [_row(result) for result in results]
    table("", ("", "drill", "injected", "refused by", "why", "seconds"), rows)
    took_s = sum(result.seconds for result in results)
    held = sum(result.held for result in results)
    say(f"\n{held} of {len(results)} gates refused their fault and let its known-good twin pass, in {took_s:.0f} s.")


def _row(result: Result) -> tuple[str, ...]:
    sign = mark("ok" if result.held else "failed")
    refused = plain(result.gate) if result.held else "[red]nobody[/]"
    why = f"{result.reason[:_SHORT]}…" if len(result.reason) > _SHORT else result.reason
    return sign, result.drill, plain(result.injected), refused, plain(why), f"{result.seconds:.1f}"
