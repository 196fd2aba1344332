"""Watching: a pass when there is reason to, rarer while a part is away, one line for each change, and a clean end."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from towpath_gitops.delivery.lease import Lease
from towpath_gitops.delivery.survey import Place
from towpath_gitops.delivery.sweep import Swept
from towpath_gitops.delivery.watch import Watch
from towpath_gitops.errors import DeliveryError, InvalidFileError, UnavailableError, UncleanRepositoryError

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

A, B = "a" * 40, "b" * 40
FLIGHTS, TRAINS = Place("production", "flights"), Place("production", "trains")
WELL = Swept(A, settled=(FLIGHTS,))
BROKEN = Swept(A, failures=((FLIGHTS, DeliveryError("It cannot be loaded")),))


@dataclass(frozen=True)
class Scripted:
    """The part of a sweeper that a watch uses."""

    repository: object
    sweep: Callable[[], Swept]
    sleep: Callable[[float], None]


class Theatre:
    """Passes that come to what a script says, a remote whose main moves as told, and a clock."""

    def __init__(self, *passes: Swept | Exception, mains: Sequence[str] = (A,)) -> None:
        """Follow a script, and stop when it is over."""
        self.script, self.mains = list(passes), list(mains)
        self.lines: list[str] = []
        self.pauses: list[float] = []
        self.passes_s: list[float] = []
        self.now_s = 0.0
        self.stop = threading.Event()

    def watch(self, *, heartbeat_s: float = 1e9) -> "Theatre":
        """Watch until the script is over."""
        repository = SimpleNamespace(branch="main", advertised=self._advertised)
        Watch(
            sweeper=Scripted(repository, self._sweep, lambda _: None),  # type: ignore[arg-type]  # as much as is used
            tell=self.lines.append,
            stop=self.stop,
            interval_s=10.0,
            resync_s=60.0,
            heartbeat_s=heartbeat_s,
            clock=lambda: self.now_s,
            wait=self._wait,
            chance=lambda: 0.5,
        ).run()
        return self

    @property
    def changes(self) -> list[str]:
        """What was told but for signs of life."""
        return [line for line in self.lines if not line.startswith(("Watching:", "Stopped;"))]

    def _advertised(self, _: str) -> str:
        return self.mains.pop(0) if len(self.mains) > 1 else self.mains[0]

    def _sweep(self) -> Swept:
        self.passes_s.append(self.now_s)
        happening = self.script.pop(0)
        if not self.script:
            self.stop.set()
        if isinstance(happening, Exception):
            raise happening
        return happening

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        self.now_s += seconds
        self.pauses.append(seconds)
        return stop.is_set()


def test_a_pass_is_made_when_main_has_moved_and_now_and_then() -> None:
    """Between them main's commit is asked for, and nothing else."""
    theatre = Theatre(WELL, replace(WELL, commit=B), replace(WELL, commit=B), mains=[A, A, B]).watch()
    assert theatre.passes_s == [0.0, 20.0, 80.0]
    assert set(theatre.pauses) == {10.0}


def test_it_backs_off_while_a_part_is_away_and_comes_back_at_once() -> None:
    """Each look in vain doubles the pause, up to a bound; the first that succeeds ends that."""
    away = [UnavailableError("The remote cannot be reached")] * 8
    theatre = Theatre(*away, WELL, WELL, mains=[A]).watch()
    assert theatre.pauses[:8] == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert theatre.pauses[8] == 10.0
    assert theatre.changes == ["✗ all places: The remote cannot be reached", "✓ all places: well again"]


def test_a_broken_main_is_told_once_and_waited_for() -> None:
    """Somebody will mend it by a commit; the watch does not end because of it."""
    broken = InvalidFileError("gitops/policy.yaml is empty")
    theatre = Theatre(broken, broken, WELL).watch()
    assert theatre.changes == ["✗ all places: gitops/policy.yaml is empty", "✓ all places: well again"]
    assert theatre.lines[-1] == "Stopped; whatever serves goes on serving."


def test_one_line_for_each_change() -> None:
    """What is wrong is said when it begins and when it ends, and not in between."""
    both = Swept(A, failures=(*BROKEN.failures, (TRAINS, InvalidFileError("It is empty"))))
    theatre = Theatre(BROKEN, BROKEN, both, WELL).watch()
    assert theatre.changes == [
        "✗ flights in production: It cannot be loaded",
        "✗ trains in production: It is empty",
        "✓ flights in production: well again",
        "✓ trains in production: well again",
    ]


def test_what_is_pending_is_taken_up_with_the_next_look() -> None:
    """Work that the limit left over does not wait for the next whole minute."""
    theatre = Theatre(Swept(A, pending=(FLIGHTS,)), WELL).watch()
    assert theatre.passes_s == [0.0, 10.0]
    assert theatre.changes == ["! the rest: 1 pending", "✓ the rest: well again"]


def test_a_sign_of_life() -> None:
    """Also when nothing has happened."""
    theatre = Theatre(WELL, WELL, WELL).watch(heartbeat_s=100.0)
    assert theatre.lines[:-1] == [
        f"Watching: main at {A[:12]}, 1 passes, all well.",
        f"Watching: main at {A[:12]}, 2 passes, all well.",
    ]


def test_a_folder_that_cannot_be_watched_ends_it() -> None:
    """Where there is no remote, waiting helps nobody."""
    with pytest.raises(UncleanRepositoryError):
        Theatre(UncleanRepositoryError("There is no remote")).watch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_verb_brings_what_is_merged_and_ends_cleanly_when_asked(
    world: "World", publish: "Publish", number: signal.Signals
) -> None:
    """A real process: a commit is noticed, and after the signal it exits with 0 and holds no lease."""
    world.declare(None)
    command = [sys.executable, "-m", "towpath_ci", "reconcile", "--all", "--watch", "--interval", "0.2"]
    options = {"cwd": world.repository.root, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **options) as process:  # type: ignore[call-overload]  # the options are those above
        assert process.stdout.readline().startswith("Watching: main at ")
        world.declare(publish(broken=True), rollout={"strategy": "canary", "steps": [1.0]})
        assert "canary" in process.stdout.readline()
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 0, rest
    assert rest == "Stopped; whatever serves goes on serving.\n"
    with Lease(world.target().folder).held():
        pass
