"""Every write of a reconciler whose lease has passed on is refused, each kind for itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops.errors import ConflictError

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

    from towpath_gitops.records.release import Release

HOUR_S = 3600.0


@contextmanager
def _refused() -> Iterator[None]:
    with pytest.raises(ConflictError, match="has passed to another process"):
        yield


def _losing_it(world: "World", at: str) -> Callable[[str], None]:
    """Return how to be told of a run's steps, and let another take the lease over at the one called `at`."""

    def progress(step: str) -> None:
        if step == at:
            other = world.target().lease
            clock = other.clock
            other.clock = lambda: clock() + HOUR_S
            other.acquire()

    return progress


def _seen(world: "World") -> dict[str, Any]:
    """Return everything that a run may write: the target's files, its process, the ledger, the aliases."""
    target = world.target()
    files = {path: path.read_bytes() for path in target.folder.iterdir() if path.suffix == ".json" or "-" in path.name}
    files.pop(target.folder / "lease.json")
    marker = world.repository.root / ".towpath" / "published" / "staging" / world.model
    world.repository.fetch()
    return {
        "files": files,
        "code": sorted(place.name for place in (target.folder / "code").iterdir()),
        "process": target.process.pid(),
        "ledger": world.ledger.entries("staging"),
        "aliases": world.registry.aliases(world.model),
        "marker": marker.read_text(),
    }


@pytest.fixture
def pair(world: "World", publish: "Publish") -> "tuple[Release, Release]":
    """Two releases, of which the first serves and the second is declared, with other code."""
    pair = publish(0.0), publish(1.0)
    world.declare(pair[0])
    world.reconcile()
    world.push({"bento/service.py": b"# other code\n"})
    world.declare(pair[1])
    return pair


@pytest.mark.parametrize("step", ["export", "point", "retire"])
def test_who_lost_the_lease_touches_neither_code_nor_pointer_nor_process(
    world: "World", pair: "tuple[Release, Release]", step: str
) -> None:
    """From the step on at which it was lost nothing is written, and the process that serves goes on."""
    before: dict[str, Any] = {}

    def progress(name: str) -> None:
        if name == step:
            before.update(_seen(world))
        _losing_it(world, step)(name)

    with _refused():
        world.reconcile(progress=progress)
    assert _seen(world) == before
    assert before["process"]
    _free(world)
    assert world.reconcile().release == pair[1]


def test_who_lost_the_lease_starts_nothing(world: "World", pair: "tuple[Release, Release]") -> None:
    """The old process has ended already: to start the new one is another's affair now, who can."""
    with _refused():
        world.reconcile(progress=_losing_it(world, "start"))
    assert world.target().process.family() == []
    assert not (world.target().folder / "service.json").exists()
    _free(world)
    assert world.reconcile().release == pair[1]


def test_who_lost_the_lease_remembers_nothing_as_good(world: "World", pair: "tuple[Release, Release]") -> None:
    """The way back for a release that does not load is written by whoever holds the lease."""
    good = world.target().folder / "converged.json"
    with _refused():
        world.reconcile(progress=_losing_it(world, "converge"))
    assert json.loads(good.read_text())["lanes"]["champion"]["release"] == pair[0].id


def test_who_lost_the_lease_writes_no_testimony(world: "World", pair: "tuple[Release, Release]") -> None:
    """What it has seen may not be so any more: the ledger learns nothing, and another run tells it."""
    before = world.ledger.entries("staging")
    with _refused():
        world.reconcile(progress=_losing_it(world, "record"))
    world.repository.fetch()
    assert world.ledger.entries("staging") == before
    assert world.registry.aliases(world.model) == {"staging": pair[0].version}
    _free(world)
    assert len(world.reconcile().entries) == 2


def test_who_lost_the_lease_shows_nothing(world: "World", pair: "tuple[Release, Release]") -> None:
    """Neither the alias nor the marker of what was shown is moved; another run shows what is true then."""
    marker = world.repository.root / ".towpath" / "published" / "staging" / world.model
    before = marker.read_text()
    with _refused():
        world.reconcile(progress=_losing_it(world, "publish"))
    assert world.registry.aliases(world.model) == {"staging": pair[0].version}
    assert marker.read_text() == before
    _free(world)
    world.reconcile()
    assert world.registry.aliases(world.model) == {"staging": pair[1].version}
    assert marker.read_text() != before


def test_who_lost_the_lease_does_not_fall_back(world: "World", pair: "tuple[Release, Release]") -> None:
    """Neither a pointer nor code that served before is brought back by somebody who is late."""
    world.push({"bento/service.py": b"# refuse to start\n"})
    with _refused():
        world.reconcile(progress=_losing_it(world, "converge"))
    assert not (world.target().folder / "failed-code").exists()
    assert not [entry for entry in world.ledger.entries("staging") if entry.release == pair[1].id]


def test_a_failure_is_not_testified_by_who_lost_the_lease(world: "World", publish: "Publish") -> None:
    """The release cannot be loaded: that is heard, and written down only by whoever holds the lease."""
    good, broken = publish(0.0), publish(broken=True)
    world.declare(good)
    world.reconcile()
    commit = world.declare(broken)
    with _refused():
        world.reconcile(progress=_losing_it(world, "converge"))
    world.repository.fetch()
    assert commit not in {entry.commit for entry in world.ledger.entries("staging")}


def _free(world: "World") -> None:
    """Let the lease of the other be over."""
    (world.target().folder / "lease.json").unlink()
