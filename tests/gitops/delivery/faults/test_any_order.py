"""Merges, reverts, force-pushes, drift, kills, clock jumps and outages in any order, held against a small model.

The model knows what should serve, what the ledger should hold, and what must never happen: something served that was
never merged, a ledger that does not verify, a change applied twice or not at all, an alias that points elsewhere after
a run that wrote something down.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.delivery.recording import shown_marker
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.errors import DeliveryError, RefusedError, TowpathError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gitops.delivery.conftest import Publish, World
    from tests.gitops.delivery.faults.conftest import Driver

    from towpath_gitops.records.release import Release

NOWHERE: Final = Registry("http://127.0.0.1:9")
GOOD: Final = (0, 1, 2)
BROKEN, UNMERGED = 3, 4  # a release that does not load, and one that main never declares
LAST_MOMENT: Final = 75  # of a run; most have fewer
_FULL: Final = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
FEW: Final = settings(max_examples=7, stateful_step_count=16, derandomize=True, phases=(Phase.generate,), **_FULL)
MANY: Final = settings(max_examples=150, stateful_step_count=40, **_FULL)


class Declaration(NamedTuple):
    """A commit of main, and the release that it declares."""

    commit: str
    release: int


@dataclass
class Model:
    """What should be so."""

    line: list[Declaration] = field(default_factory=list)  # main's declarations, oldest first
    gone: set[str] = field(default_factory=set)  # commits that were taken from main by force
    merged: set[int] = field(default_factory=set)  # releases that main ever declared
    applied: list[str] = field(default_factory=list)  # commits, as the ledger tells
    begun: list[str] = field(default_factory=list)  # commits that killed runs may have applied since
    may_serve: set[int | None] = field(default_factory=lambda: {None})
    by_hand: int | None = None  # the release to which somebody pointed the service
    moved: bool = False  # somebody moved the alias since it was last set
    late: timedelta = timedelta()  # how far the clock is from the true time

    @property
    def is_rewritten(self) -> bool:
        """Whether main no longer holds what was applied last; a killed run may have been the last."""
        return bool(self.applied) and self.applied[-1] in self.gone

    def follow(self, commit: str, applied: list[str]) -> None:
        """Require that the ledger tells of every commit that was applied, in order, once each time."""
        possible = [self.applied, *([*self.applied, begun] for begun in self.begun)]
        assert applied in [[*each, commit] if each[-1:] != [commit] else each for each in possible]
        self.applied, self.begun = applied, []


class Bench:
    """One world, put back to its beginning for every story."""

    def __init__(self, world: "World", driver: "Driver", publish: "Publish", remote: "Path") -> None:
        """Register the releases and keep a copy of both repositories."""
        self.world, self.driver, self.remote, self.registry = world, driver, remote, world.registry
        self.pool = [publish(0.0), publish(1.0), publish(2.0), publish(broken=True), publish(4.0)]
        self.copies = remote.with_name("copies")
        for place in (remote, world.repository.root):
            shutil.copytree(place, self.copies / place.name)
        self.stories = self.runs = self.kills = 0

    def begin(self) -> None:
        """Put everything back but the registry, whose alias is taken away."""
        self.stories += 1
        self.world.target().stop()
        for place in (self.remote, self.world.repository.root):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(self.copies / place.name, place)
        self.world.declared.clear()
        self.world.made.clear()
        self.world.registry = self.registry
        self.registry.client.delete_registered_model_alias(self.world.model, "staging")

    def number(self, release: "str | None") -> int | None:
        """Return the number of a release's id."""
        return next((number for number, each in enumerate(self.pool) if each.id == release), None)


class Story(RuleBasedStateMachine):
    """Everything that people, machines and time can do to one environment."""

    def __init__(self, bench: Bench) -> None:
        """Begin with a main that declares nothing."""
        super().__init__()
        self.bench, self.world, self.model = bench, bench.world, Model()
        bench.begin()
        self.path = layout.environment_path("staging", self.world.model)

    # --- main --------------------------------------------------------------------------------------------------

    @property
    def is_remote_there(self) -> bool:
        """Whether the remote can be reached."""
        return self.bench.remote.exists()

    @initialize(number=st.sampled_from(GOOD))
    def begin(self, number: int) -> None:
        """Something serves."""
        self.merge(number)
        self.reconcile()

    @precondition(lambda self: self.is_remote_there)
    @rule(number=st.sampled_from((*GOOD, BROKEN)))
    def merge(self, number: int) -> None:
        """Main declares a release, which may be the same again."""
        before = self.world.declared.get("staging")
        reason = f"merge {len(self.model.line)} {len(self.model.gone)}"
        change = {"type": "promote", "from": before.id if before else None, "reason": reason}
        self._declared(self.world.declare(self.bench.pool[number], change=change), number)

    @precondition(lambda self: self.is_remote_there and len(self.model.line) > 1)
    @rule()
    def revert(self) -> None:
        """Main declares what it declared before, word for word."""
        before = self.model.line[-2]
        text = self.world.repository.read_bytes(before.commit, self.path)
        self._declared(self.world.push({self.path: text}, "Revert"), before.release)

    def _declared(self, commit: str, number: int) -> None:
        self.model.line.append(Declaration(commit, number))
        self.model.merged.add(number)

    @precondition(lambda self: self.is_remote_there and len(self.model.line) > 1)
    @rule(back=st.integers(1, 3))
    def rewrite(self, back: int) -> None:
        """Somebody takes the newest commits from main by force."""
        kept = self.model.line[: max(1, len(self.model.line) - back)]
        lost = self.model.line[len(kept) :]
        self.world.repository.fetch()
        self.world.repository.push(kept[-1].commit, "refs/heads/main", self.world.repository.main())
        self.model.line, self.model.gone = kept, self.model.gone | {each.commit for each in lost}

    @precondition(lambda self: self.is_remote_there)
    @rule()
    def push_a_branch(self) -> None:
        """A branch that nobody has merged declares a release."""
        self.world.repository.fetch()
        main = self.world.repository.main()
        commit = self.world.declare(self.bench.pool[UNMERGED])
        self.world.repository.push(commit, f"refs/heads/towpath/promote/{commit[:7]}", None)
        self.world.repository.push(main, "refs/heads/main", commit)

    # --- drift and outages -------------------------------------------------------------------------------------

    @rule(act=st.sampled_from(("point", "alias", "service", "state")), number=st.sampled_from((*GOOD, UNMERGED)))
    def drift(self, act: str, number: int) -> None:
        """Somebody, or chance, changes what main did not."""
        if act == "point" and self._served() is not None and self._pointer() is not None:
            self._point_by_hand(number)
        elif act == "alias":
            self.bench.registry.set_alias(self.bench.pool[number], "staging")
            self.model.moved = True
        elif act == "service" and self._served() is not None:
            os.kill(int(str(self.world.target().observe().details["pid"])), signal.SIGKILL)
            _wait_for(lambda: self.world.target().observe().details["pid"] is None)
            self.model.may_serve.add(None)
        elif act == "state":  # neither service nor state nor artifacts, as on a new machine
            self.world.target().stop()
            shutil.rmtree(layout.state(self.world.repository.root), ignore_errors=True)
            self.model.may_serve, self.model.by_hand = {None}, None

    def _point_by_hand(self, number: int) -> None:
        """Edit the pointer of the service, and wait until it follows."""
        release, pointer = self.bench.pool[number], self._pointer()
        assert pointer
        folder = self.bench.registry.fetch(release, layout.store(self.world.repository.root).absolute())
        pointer["lanes"]["champion"] = {"release": release.id, "artifact": release.artifact, "path": str(folder)}
        text = json.dumps(pointer | {"generation": pointer["generation"] + 1})
        write_atomically(self.world.target().folder / "pointer.json", text)
        _wait_for(lambda: self._served() == number)
        self.model.by_hand = number

    @rule(what=st.sampled_from(("registry", "remote", "clock")), hours=st.sampled_from((-30, -2, 2, 30)))
    def lose_or_find(self, what: str, hours: int) -> None:
        """The registry or the remote goes away or comes back, or somebody sets the clock."""
        if what == "registry":
            self.world.registry = self.bench.registry if self.world.registry is NOWHERE else NOWHERE
        elif what == "remote":
            here, away = self.bench.remote, self.bench.remote.with_name("away.git")
            (here.rename(away) if here.exists() else away.rename(here))
        else:
            self.model.late += timedelta(hours=hours)

    # --- runs --------------------------------------------------------------------------------------------------

    @rule(at=st.integers(0, LAST_MOMENT), number=st.sampled_from(GOOD))
    def kill_a_run(self, at: int, number: int) -> None:
        """A run that has something to do is killed at some moment, or ends before."""
        if self.is_remote_there:
            self.merge(number)
        run = self.bench.driver.run(self.world, fault="SIGKILL", at=at, late_s=self.model.late.total_seconds())
        self.bench.kills += run.state == "killed"
        if self.is_remote_there and not self.model.is_rewritten:
            self.model.begun.append(self.model.line[-1].commit)
            self.model.may_serve |= {self.model.line[-1].release, None}
            self.model.may_serve.discard(BROKEN)

    @rule()
    def reconcile(self) -> None:
        """An undisturbed run ends as the model says."""
        self._run(accept=False)

    @rule()
    def reconcile_twice(self) -> None:
        """And the run after it changes nothing."""
        if self._run(accept=False):
            again = self._reconcile()
            assert (again.changed, again.entries) == (False, ())

    @precondition(lambda self: self.model.is_rewritten)
    @rule()
    def accept(self) -> None:
        """Somebody follows the rewritten history knowingly."""
        self._run(accept=True)

    def _run(self, *, accept: bool) -> bool:
        """Run once, require what should come of it, and return whether the place has converged."""
        self.bench.runs += 1
        before = self._seen() if self.is_remote_there else None
        commit, number = self.model.line[-1]
        release = self.bench.pool[number]
        marked = shown_marker(self.world.repository.root, "staging", self.world.model).exists()
        if not self.is_remote_there:
            return self._refused(UnavailableError, "remote", before)
        if self._is_rewritten() and not accept:
            return self._refused(RefusedError, "rewritten", before)
        if self.world.registry is NOWHERE and not self._is_fetched(release):
            return self._refused(UnavailableError, "registry", before, accept=accept)
        if number == BROKEN:
            self._not_loading(commit, accept=accept)
            return False
        outcome = self._reconcile(accept_rewritten=accept)
        assert self._served() == number
        assert outcome.verdict is Verdict.PASS
        self.model.may_serve, self.model.by_hand = {number}, None
        self.model.follow(commit, self._applied())
        self._require_alias(release.version, shown=bool(outcome.entries) or not marked or not self.model.moved)
        self._verify()
        return True

    def _reconcile(self, **options: Any) -> Any:  # noqa: ANN401 (an outcome)
        late = self.model.late

        def make_target(repository: Repository, deployment: Deployment) -> LocalTarget:
            target = self.world.make_target(repository, deployment)
            target.lease.clock = target.clock = lambda: time.time() + late.total_seconds()
            return target

        options |= {"clock": lambda: datetime.now(UTC) + late, "targets": {"local": make_target}}
        return self.world.reconcile(sleep=lambda _: time.sleep(0.02), **options)

    def _refused(self, error: type[TowpathError], words: str, before: object, *, accept: bool = False) -> bool:
        """Require that a run is refused and changes nothing."""
        with pytest.raises(error, match=words):
            self._reconcile(accept_rewritten=accept)
        assert before is None or self._seen() == before
        return False

    def _not_loading(self, commit: str, *, accept: bool) -> None:
        """Require that what served before serves again, and that the ledger tells of the failure."""
        with pytest.raises(DeliveryError):
            self._reconcile(accept_rewritten=accept)
        possible = self.model.may_serve
        _wait_for(lambda: self._served() in possible)
        self.model.by_hand = None
        last = [each for each in self._entries() if each.commit == commit][-1]
        assert (last.event, last.verdict) == (Event.VERIFIED, Verdict.ERROR)
        self._verify()

    def _require_alias(self, version: int, *, shown: bool) -> None:
        """Require that the alias names what serves, unless somebody moved it and nothing was to be written since."""
        if self.world.registry is NOWHERE:
            return
        alias = self.bench.registry.aliases(self.world.model).get("staging")
        assert alias == version or not shown
        self.model.moved = alias != version

    def _verify(self) -> None:
        """Require that the ledger verifies, but for what it tells of commits that were taken from main."""
        for problem in self.world.ledger.verify():
            named = any(f"names commit {commit[:12]}" in problem.message for commit in self.model.gone)
            assert named, problem
            assert problem.message.endswith("not in main's history"), problem

    # --- looking -----------------------------------------------------------------------------------------------

    def _served(self) -> int | None:
        version = self.world.target().observe().version
        return self.bench.number(version.release) if version else None

    def _seen(self) -> object:
        self.world.repository.fetch()
        return self._served(), [each.hash for each in self._entries()], self.bench.registry.aliases(self.world.model)

    def _entries(self) -> Any:  # noqa: ANN401 (a list of entries)
        return self.world.ledger.entries("staging")

    def _applied(self) -> list[str]:
        return [each.commit for each in self._entries() if each.event is Event.APPLIED]

    def _is_rewritten(self) -> bool:
        """Whether main lost what was applied last, by the ledger where a killed run makes it uncertain."""
        applied = self._applied()
        if not self.model.begun:
            assert applied == self.model.applied
        return bool(applied) and applied[-1] in self.model.gone

    def _is_fetched(self, release: "Release") -> bool:
        return (layout.store(self.world.repository.root) / release.artifact.removeprefix("sha256:")).is_dir()

    def _pointer(self) -> dict[str, Any] | None:
        path = self.world.target().folder / "pointer.json"
        return json.loads(path.read_text()) if path.exists() else None

    @invariant()
    def nothing_serves_that_was_never_merged(self) -> None:
        """But what somebody pointed to by hand, until the next run."""
        assert self._served() in self.model.merged | {None, self.model.by_hand}

    def teardown(self) -> None:
        """Whatever happened: once everything is back, one run converges."""
        if not self.is_remote_there:
            self.lose_or_find("remote", 0)
        self.world.registry = self.bench.registry
        if self.model.line:
            if self.model.line[-1].release == BROKEN:
                self.merge(GOOD[0])
            assert self._run(accept=True)


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def bench(world: "World", driver: "Driver", publish: "Publish", remote: "Path") -> Iterator[Bench]:
    """A world for many stories."""
    bench = Bench(world, driver, publish, remote)
    yield bench
    world.registry = bench.registry


@contextmanager
def _counted(bench: Bench, capsys: "pytest.CaptureFixture[str]") -> Iterator[None]:
    yield
    with capsys.disabled():
        print(f"\n{bench.stories} stories with {bench.runs} runs and {bench.kills} kills, as the model says")  # noqa: T201 (a figure)


# One story in which every rule has its say, and every refusal: chance alone would need many.
TOUR: Final[tuple[Callable[[Story], None], ...]] = (
    lambda story: story.begin(0),
    lambda story: story.merge(1),
    lambda story: story.reconcile_twice(),
    lambda story: story.drift("point", UNMERGED),
    lambda story: story.reconcile(),
    lambda story: story.push_a_branch(),
    lambda story: story.drift("alias", 0),
    lambda story: story.revert(),
    lambda story: story.merge(2),
    lambda story: story.reconcile(),
    lambda story: story.rewrite(1),
    lambda story: story.reconcile(),
    lambda story: story.accept(),
    lambda story: story.merge(BROKEN),
    lambda story: story.reconcile(),
    lambda story: story.kill_a_run(at=30, number=1),
    lambda story: story.drift("service", 0),
    lambda story: story.lose_or_find("remote", 0),
    lambda story: story.reconcile(),
    lambda story: story.lose_or_find("remote", 0),
    lambda story: story.lose_or_find("clock", 30),
    lambda story: story.reconcile(),
    lambda story: story.drift("state", 0),
    lambda story: story.lose_or_find("registry", 0),
    lambda story: story.reconcile(),
    lambda story: story.lose_or_find("clock", -30),
    lambda story: story.teardown(),
)


def test_one_story_in_which_everything_happens(bench: Bench) -> None:
    """Each rule has its say once, in an order in which it matters."""
    story = Story(bench)
    for step in TOUR:
        step(story)
        story.nothing_serves_that_was_never_merged()


def test_whatever_happens_in_whatever_order_a_run_ends_as_the_model_says(
    bench: Bench, capsys: "pytest.CaptureFixture[str]"
) -> None:
    """A few stories, the same each time."""
    with _counted(bench, capsys):
        run_state_machine_as_test(lambda: Story(bench), settings=FEW)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_many_stories_end_as_the_model_says(bench: Bench, capsys: "pytest.CaptureFixture[str]") -> None:
    """Other ones each time, and longer."""
    with _counted(bench, capsys):
        run_state_machine_as_test(lambda: Story(bench), settings=MANY)
