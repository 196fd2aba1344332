"""Passes over every model and environment, as `towpath reconcile --all` shows them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import typer

from towpath_ci.announcements import announce, announce_failure
from towpath_ci.console import Progress, complain, emit, mark, plain, say
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.sweep import Sweeper, Swept
from towpath_gitops.delivery.watch import Watch

if TYPE_CHECKING:
    from types import FrameType


def sweeper_of(workspace: Workspace, environment: str | None, limit: int, *, accept_rewritten: bool) -> Sweeper:
    """Return who makes the passes.

    Raises:
        NotFoundError: the policy has no such environment.
    """
    if environment is not None:
        workspace.chosen(environment)
    return Sweeper(
        repository=workspace.repository,
        registry=workspace.registry,
        environment=environment,
        limit=limit,
        accept_rewritten=accept_rewritten,
    )


def sweep(workspace: Workspace, sweeper: Sweeper, *, as_json: bool) -> None:
    """Make one pass and show it; exit with the code of the first failure.

    Raises:
        TowpathError: as `Sweeper.sweep`.
    """
    began_s = monotonic()
    with Progress("Reconcile"):
        swept = sweeper.sweep()
    for outcome in swept.outcomes:
        announce(workspace, outcome)
    for place, error in swept.failures:
        complain(type(error)(f"{place}: {error.what}", why=error.why, hint=error.hint))
        announce_failure(workspace, place.environment, error)
    if as_json:
        emit(_plain(swept))
    else:
        _tell(swept, monotonic() - began_s)
    if swept.failures:
        raise typer.Exit(swept.failures[0][1].exit_code)


def watch(workspace: Workspace, sweeper: Sweeper, interval_s: float) -> None:
    """Make passes until the process is asked to end.

    Raises:
        UncleanRepositoryError: there is nothing that could be watched.
    """

    def seen(swept: Swept) -> None:
        for outcome in swept.outcomes:
            announce(workspace, outcome)

    stop = threading.Event()
    with ending(stop):
        Watch(sweeper=sweeper, tell=_line, seen=seen, stop=stop, interval_s=interval_s).run()


@contextmanager
def ending(stop: threading.Event) -> Iterator[None]:
    """Set `stop` when the process is asked to end; what was done with such signals before comes back afterwards."""

    def end(_: int, __: "FrameType | None") -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(text: str) -> None:
    say(plain(text))


def _tell(swept: Swept, took_s: float) -> None:
    for outcome in swept.outcomes:
        place = f"[bold]{plain(outcome.model)} in {plain(outcome.environment)}[/]"
        done = "now serves" if outcome.changed else "serves"
        say(f"{mark('ok')} {place} {done} {plain(outcome.release)}{plain(outcome.beside)}")
        for note in outcome.notes:
            say(f"    {mark('warn')} {plain(note)}")
        if outcome.shift:
            say(f"    {mark('warn')} DIVERGED: the guard took back what main declares")
    counts = (
        (len(swept.settled), "as declared and verified"),
        (len(swept.outcomes), "reconciled"),
        (len(swept.empty), "where nothing is declared"),
        (len(swept.failures), "failed"),
        (len(swept.pending), "pending: run it again"),
    )
    parts = ", ".join(f"{count:,} {words}" for count, words in counts if count) or "no places"
    say(f"{mark('failed' if swept.failures else 'ok')} main at {swept.commit[:12]}: {parts}, in {took_s:.1f} s")


def _plain(swept: Swept) -> dict[str, object]:
    return {
        "commit": swept.commit,
        "settled": [place._asdict() for place in swept.settled],
        "empty": [place._asdict() for place in swept.empty],
        "reconciled": [
            {
                "environment": outcome.environment,
                "model": outcome.model,
                "release": outcome.release.id if outcome.release else None,
                "challenger": outcome.experiment.challenger.id if outcome.experiment else None,
                "changed": outcome.changed,
                "verdict": outcome.verdict,
                "notes": list(outcome.notes),
            }
            for outcome in swept.outcomes
        ],
        "failed": [{**place._asdict(), "error": str(error)} for place, error in swept.failures],
        "pending": [place._asdict() for place in swept.pending],
    }
