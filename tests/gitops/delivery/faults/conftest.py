"""A driver of runs that meet a fault, and the marks by which two ends of a run are compared."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.errors import DeliveryError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

    from towpath_gitops.records.release import Release

DRIVER = Path(__file__).with_name("driver.py")


@dataclass(frozen=True)
class Run:
    """How a run of the driver went."""

    pid: int
    state: str = "started"  # started, stopped, killed, ended
    moments: tuple[str, ...] = ()
    done: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    what: str = ""


class Driver:
    """Starts runs in processes of their own, each with at most one fault."""

    def __init__(self, folder: Path) -> None:
        """Start the process that forks; its imports are under way while the tests prepare."""
        self.faults: Counter[str] = Counter()
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def warm(self, world: "World") -> None:
        """Reconcile, where nothing is left to do, in the process that forks: no run imports again what this imports."""
        assert not self._order({"do": "warm", **self._place(world)})["changed"]

    def start(self, world: "World", **order: Any) -> int:  # noqa: ANN401 (JSON)
        """Start a run and return its process id."""
        return int(self._order({"do": "start", "task": "reconcile", **self._place(world), **order})["pid"])

    def wait(self, pid: int) -> Run:
        """Wait until a run has ended or stopped."""
        return Run(**self._order({"do": "wait", "pid": pid}))

    def resume(self, pid: int) -> Run:
        """Let a stopped run go on, and wait until it has ended."""
        return Run(**self._order({"do": "resume", "pid": pid}))

    def run(self, world: "World", **order: Any) -> Run:  # noqa: ANN401 (JSON)
        """Do a whole run; with a fault, count it when it happened."""
        run = self.wait(self.start(world, **order))
        fault = order.get("fault")
        if fault is not None and len(run.moments) > order["at"]:
            self.faults[str(fault)] += 1
        return run

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate(timeout=30)

    def _place(self, world: "World") -> dict[str, Any]:
        place = {"root": str(world.repository.root), "model": world.model, "environment": "staging"}
        return place | {"tracking_uri": world.registry.tracking_uri, "command": list(world.command)}

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass(frozen=True)
class End:
    """Where a change should end: what serves, what the ledger says of the commit, and how the state folder looks."""

    release: "Release"
    commit: str
    events: tuple[tuple[Event, Verdict | None], ...]
    refused: bool = False


@dataclass(frozen=True)
class Undisturbed:
    """What a run without a fault was like."""

    moments: tuple[str, ...]
    marks: Mapping[str, str]


GREEN = ((Event.APPLIED, None), (Event.VERIFIED, Verdict.PASS))
RED = ((Event.VERIFIED, Verdict.ERROR),)
Change = Callable[[int], End]


class Faulty:
    """A world in which changes are made again and again, and each time something goes wrong."""

    def __init__(self, world: "World", driver: Driver, publish: "Publish", *, thorough: bool) -> None:
        """Let the first of two releases serve."""
        self.world, self.driver, self.thorough = world, driver, thorough
        self.pair = publish(0.0), publish(1.0)
        self.broken = publish(broken=True)
        self.store = layout.store(world.repository.root)
        self.renew()
        driver.warm(world)

    def renew(self) -> None:
        """Let the first release serve by the first code, from a new process, with every artifact fetched."""
        self.world.target().stop()  # it would end by itself before the end of a long test
        for release in (*self.pair, self.broken):
            self.world.registry.fetch(release, self.store)
        self.world.push({"bento/service.py": b"# the service\n"})
        self.world.declare(self.pair[0])
        self.reconcile()

    # --- changes: each may be made any number of times, and returns where it should end ----------------------------

    def swap(self, number: int) -> End:
        """Declare the other release."""
        release = self.pair[(number + 1) % 2]
        return End(release, self.world.declare(release), GREEN)

    def swap_back(self, _: int = 0) -> End:
        """Declare the first release."""
        return self.swap(1)

    def new_code(self, number: int) -> End:
        """Declare the other release together with other code, which lies nowhere yet."""
        self.world.push({"bento/service.py": b"# edition %d\n" % number})
        return self.swap(number)

    def from_nothing(self, number: int) -> End:
        """Stop what serves, lose the state folder and the fetched artifacts, and declare the other release."""
        self.world.target().stop()
        shutil.rmtree(layout.state(self.world.repository.root))
        return self.swap(number)

    def not_loading(self, number: int) -> End:
        """Declare a release that cannot be loaded."""
        commit = self.world.declare(self.broken, change=self._change(number))
        return End(self.pair[0], commit, RED, refused=True)

    def not_starting(self, number: int) -> End:
        """Merge code that does not start."""
        commit = self.world.push({"bento/service.py": b"# refuse to start, edition %d\n" % number})
        return End(self.pair[0], commit, RED, refused=True)

    def drift(self, number: int) -> End:
        """Let somebody point the service at the other release by hand."""
        path = self.world.target().folder / "pointer.json"
        pointer = json.loads(path.read_text())
        other = self.pair[1]
        place = str(self.store.absolute() / other.artifact.removeprefix("sha256:"))
        pointer["lanes"]["champion"] = {"release": other.id, "artifact": other.artifact, "path": place}
        write_atomically(path, json.dumps(pointer | {"generation": pointer["generation"] + 1 + number % 2}))
        wait_for(lambda: self.served() == other.id)
        return End(self.pair[0], "", ())

    def _change(self, number: int) -> dict[str, Any]:
        return {"type": "promote", "from": self.pair[0].id, "reason": f"attempt {number}"}

    # --- faults ------------------------------------------------------------------------------------------------

    def undisturbed(self, change: Change) -> Undisturbed:
        """Make a change without a fault, and tell what moments the run had and how its end looks."""
        end = change(0)
        run = self.driver.run(self.world)
        self.require(end)
        return Undisturbed(run.moments, self.marks())

    def kill_everywhere(self, change: Change, *, stride: int = 1, restarts: bool = False) -> None:
        """Kill a change at every moment that it has, or every `stride`-th, and require its end each time.

        `restarts`: the change replaces the process, so that between two steps nobody need answer.
        """
        undisturbed = self.undisturbed(change)
        for number, at in enumerate(range(0, len(undisturbed.moments), stride), start=1):
            end = change(number)
            run = self.killed(at, restarts=restarts)
            self.repair(end)
            assert self.marks() == undisturbed.marks, f"after a kill at “{run.moments[-1]}”"
        assert self.world.ledger.verify() == []

    def kill_again_and_again(self, change: Change, *, restarts: bool = False) -> None:
        """Kill a change, and each run that tries to repair it one moment later than the one before, until one ends."""
        undisturbed = self.undisturbed(change)
        end = change(1)
        at = 0
        while self.killed(at, restarts=restarts).state == "killed":
            at += 1
        assert at, "nothing was killed"
        self.repair(end)
        assert self.marks() == undisturbed.marks
        assert self.world.ledger.verify() == []

    def killed(self, at: int, *, restarts: bool) -> Run:
        """Kill a run at its moment `at`, and require that somebody serves unless the process was being replaced."""
        run = self.driver.run(self.world, fault="SIGKILL", at=at)
        if not restarts:
            assert self.served() is not None, run.moments[-1]
        return run

    def repair(self, end: End) -> None:
        """Run once more undisturbed, and require the end; now and then, that another run has nothing to do."""
        self.reconcile(refused=end.refused)
        self.require(end)
        if self.thorough and not end.refused:
            again = self.reconcile()
            assert (again.changed, again.entries) == (False, ())

    def reconcile(self, *, refused: bool = False) -> Any:  # noqa: ANN401 (an outcome, or nothing)
        """Reconcile in this process, without a fault."""
        try:
            return self.world.reconcile(sleep=lambda _: time.sleep(0.02))
        except DeliveryError:
            assert refused
            return None

    # --- looking -----------------------------------------------------------------------------------------------

    def served(self) -> str | None:
        """Return what serves."""
        version = self.world.target().observe().version
        return version.release if version else None

    def require(self, end: End) -> None:
        """Require what serves, what the ledger says of the change and what the registry shows."""
        if end.refused:  # code that served before may be starting again
            wait_for(lambda: self.served() == end.release.id)
        assert self.served() == end.release.id
        self.world.repository.fetch()
        entries = [entry for entry in self.world.ledger.entries("staging") if entry.commit == end.commit]
        assert tuple((entry.event, entry.verdict) for entry in entries) == end.events
        assert self.world.registry.aliases(self.world.model) == {"staging": end.release.version}
        if not end.refused:
            service = json.loads((self.world.target().folder / "service.json").read_text())
            assert service["code"] == self.world.repository.tree(self.world.repository.main(), "bento")

    def marks(self) -> dict[str, str]:
        """Return the files of the state folder, without what differs from run to run.

        What a killed download or export left may lie there until the next one: never more than one of each.
        """
        root = layout.state(self.world.repository.root)
        paths = [path for path in root.rglob("*") if path.is_file() or not any(path.iterdir())]
        left = Counter(path.parent for path in root.rglob(".incoming-*"))
        assert all(number == 1 for number in left.values()), left
        return dict(_mark(path, root) for path in paths if ".incoming-" not in str(path))


_VARYING = {"generation", "token", "holder", "expires_s", "started"}
_NAMES = ((r"/\d+\.json$", "/PID.json"), (r"\b[0-9a-f]{40}\b", "CODE"), (r"[0-9a-f]{64}", "DIGEST"))
_UNREAD = ("service.log", "service.pid", "/code/", "store/", "published/", ".db")


def _mark(path: Path, root: Path) -> tuple[str, str]:
    """Return the name and the content of a file; commits, digests, process ids, counters and times are left out."""
    name = str(path.relative_to(root))
    text = "" if path.is_dir() or any(part in name for part in _UNREAD) else path.read_text()
    if text and path.suffix == ".json":
        text = json.dumps({key: value for key, value in json.loads(text).items() if key not in _VARYING})
    for pattern, word in _NAMES:
        name, text = re.sub(pattern, word, name), re.sub(pattern, word, text)
    return name, text


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it never was.
    """
    until = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The one process from which all runs are forked."""
    driver = Driver(tmp_path_factory.mktemp("driver"))
    yield driver
    driver.close()


@pytest.fixture
def faulty(world: "World", driver: Driver, publish: "Publish", request: pytest.FixtureRequest) -> Faulty:
    """A world in which the first of two releases serves."""
    return Faulty(world, driver, publish, thorough=request.node.get_closest_marker("long") is not None)
