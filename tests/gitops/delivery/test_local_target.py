"""The service process on this machine: started, adopted, restarted, stopped, and told from strangers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery import processes
from towpath_gitops.delivery.targets.base import Failed, Waiting
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.errors import ConflictError, DeliveryError, UnavailableError
from towpath_gitops.records.deployment import PinnedRelease
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.pointer import LanePointer, Pointer
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.conftest import Clone
    from tests.gitops.delivery.conftest import Publish, World


def _pid(world: "World") -> int:
    pid = world.target().observe().details["pid"]
    assert isinstance(pid, int)
    return pid


def test_the_child_sees_no_secret(world: "World", publish: "Publish", monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a handful of variables are handed on."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    world.declare(publish())
    world.reconcile()
    seen = Path(f"/proc/{_pid(world)}/environ").read_bytes()
    assert b"hunter2" not in seen
    assert b"TOWPATH_POINTER=" in seen


def test_it_outlives_whoever_started_it(world: "World", publish: "Publish") -> None:
    """The service has a session of its own: closing the terminal does not end it."""
    world.declare(publish())
    world.reconcile()
    assert os.getsid(_pid(world)) == _pid(world) != os.getsid(0)


def test_each_swap_is_a_new_generation_of_the_pointer(world: "World", publish: "Publish") -> None:
    """The generation grows, also on the way back; what every worker served before is named, so that it can be asked."""
    one, two = publish(0.0), publish(1.0)
    generations, earlier = [], []
    for release in (one, two, one):
        world.declare(release)
        world.reconcile()
        pointer = Pointer.model_validate_json((world.target().folder / "pointer.json").read_text())
        assert pointer.lanes["champion"].release == release.id
        generations.append(pointer.generation)
        earlier.append([each.release for each in pointer.earlier])
    assert generations == [1, 2, 3]
    assert earlier == [[], [one.id], [two.id]]


def test_another_port_moves_the_service(world: "World", publish: "Publish") -> None:
    """The process on the old port ends, one on the new port answers."""
    release = publish()
    world.declare(release)
    world.reconcile()
    old = world.ports["staging"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        world.ports["staging"] = probe.getsockname()[1]
    world.declare(release)
    assert world.reconcile().verdict is Verdict.PASS
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", old)) != 0


def test_a_stranger_on_the_port_is_named(world: "World", publish: "Publish") -> None:
    """Another program there is neither asked to load anything nor ended."""
    world.declare(publish())
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", world.ports["staging"]))
        stranger.listen()
        with pytest.raises(UnavailableError, match=rf"Port {world.ports['staging']} is taken"):
            world.reconcile()


def test_a_port_that_is_taken_does_not_end_what_serves(world: "World", publish: "Publish") -> None:
    """A service that cannot move to its new port goes on where it is, and moves once the port is free."""
    release = publish()
    world.declare(release)
    world.reconcile()
    before, old = _pid(world), world.ports["staging"]
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        world.ports["staging"] = stranger.getsockname()[1]
        world.declare(release)
        with pytest.raises(UnavailableError, match=rf"Port {world.ports['staging']} is taken"):
            world.reconcile()
    assert processes.alive(before)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", old)) == 0
    assert world.reconcile().verdict is Verdict.PASS
    assert not processes.alive(before)


def test_local_state_that_was_deleted_is_made_anew(world: "World", publish: "Publish") -> None:
    """A service whose every file is gone is still known by how it was started: it is kept, never doubled."""
    world.declare(publish())
    world.reconcile()
    before = _pid(world)
    shutil.rmtree(world.target().folder)
    assert world.target().observe().details["pid"] == before
    assert world.reconcile().verdict is Verdict.PASS
    assert _pid(world) == before
    shutil.rmtree(world.target().folder)
    world.target().stop()
    assert world.target().observe().details["pid"] is None


def test_the_service_of_another_clone_is_left_alone(world: "World", publish: "Publish", clone: "Clone") -> None:
    """It answers by the right name, but who did not start it may not end it."""
    world.declare(publish())
    world.reconcile()
    before = _pid(world)
    other = replace(world, repository=clone("bob"))
    other.target().stop()
    with pytest.raises(UnavailableError, match="started by another clone"):
        other.reconcile()
    assert processes.alive(before)


def test_what_was_started_here_is_found_without_an_environment_file(world: "World", publish: "Publish") -> None:
    """Every service of the clone can be stopped, whatever main or the working tree says by now."""
    world.declare(publish())
    world.reconcile()
    (left,) = LocalTarget.left_in(world.repository)
    assert (left.environment, left.model, left.port) == ("staging", world.model, world.ports["staging"])
    assert left.observe().running
    left.stop()
    assert list(LocalTarget.left_in(world.repository)) == []


def test_the_service_of_another_environment_is_a_stranger(world: "World", publish: "Publish") -> None:
    """Two environments that were given the same port do not answer for each other."""
    release = publish()
    world.declare(release)
    world.reconcile()
    world.ports["production"] = world.ports["staging"]
    world.declare(release, "production")
    with pytest.raises(UnavailableError, match=f"{world.model} in staging answers there"):
        world.reconcile("production")
    assert world.reconcile().changed is False


def test_a_service_whose_number_was_lost_is_known_by_what_it_carries(world: "World", publish: "Publish") -> None:
    """Whose pointer it follows and how it was started stands in its environment: it is kept, and can be ended."""
    world.declare(publish())
    world.reconcile()
    before = _pid(world)
    for name in ("service.pid", "service.json"):
        (world.target().folder / name).unlink()
    assert world.reconcile().verdict is Verdict.PASS
    assert _pid(world) == before
    world.target().stop()
    assert not processes.alive(before)


def test_a_number_that_somebody_else_has_now_is_left_alone(world: "World", publish: "Publish") -> None:
    """After a restart of the machine an old process number may be anybody's: it is neither adopted nor ended."""
    world.declare(publish())
    world.reconcile()
    os.kill(_pid(world), signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as somebody:
        (world.target().folder / "service.pid").write_text(str(somebody.pid))
        assert world.reconcile().verdict is Verdict.PASS
        world.target().stop()
        assert somebody.poll() is None
        somebody.communicate(b"\n")


def test_a_load_that_failed_is_tried_again(world: "World", publish: "Publish") -> None:
    """A service that started while the store was damaged serves again once it is repaired."""
    release = publish()
    world.declare(release)
    world.reconcile()
    os.kill(_pid(world), signal.SIGKILL)
    pointer = Pointer.model_validate_json((world.target().folder / "pointer.json").read_text())
    file = Path(pointer.lanes["champion"].path, "model.json")
    content = file.read_text()
    file.write_text("{}")
    processes.start(
        [*world.command, "--service", str(_code(world)), "--port", str(world.ports["staging"]), "--workers", "1"],
        {"TOWPATH_POINTER": str(world.target().folder / "pointer.json")},
        world.target().folder / "service.log",
        world.target().folder / "service.pid",
    )
    until = time.monotonic() + 10
    while not ((version := world.target().observe().version) and version.error) and time.monotonic() < until:
        time.sleep(0.05)
    assert world.reconcile().verdict is Verdict.PASS
    assert file.read_text() == content


def _code(world: "World") -> Path:
    return next(world.target().folder.glob("code/*/bento/service.py"))


def test_stopping_twice_is_fine(world: "World", publish: "Publish") -> None:
    """Nothing to stop is a success; what was declared is served again by the next run."""
    world.declare(publish())
    world.reconcile()
    pid = _pid(world)
    world.target().stop()
    world.target().stop()
    assert not processes.alive(pid)
    assert world.target().observe().running is False
    assert world.reconcile().verdict is Verdict.PASS


def test_an_experiment_has_its_challenger_in_a_lane(world: "World", publish: "Publish") -> None:
    """Both releases are fetched and pointed to, with the share of requests, and the outcome names both."""
    one, two = publish(0.0), publish(1.0)
    experiment = {"challenger": PinnedRelease.of(two).plain(), "mode": "shadow", "share": 0.25}
    world.declare(one, experiment=experiment)
    outcome = world.reconcile()
    assert (
        outcome.beside
        == f", beside it the challenger {two.semver} ({two.short_id}) in mode shadow with a share of 0.25"
    )
    pointer = json.loads((world.target().folder / "pointer.json").read_text())
    assert {name: lane["release"] for name, lane in pointer["lanes"].items()} == {"champion": one.id, "shadow": two.id}
    assert pointer["split"]["share"] == 0.25


def test_traffic_is_shifted_to_another_release_at_once(world: "World", publish: "Publish") -> None:
    """One release takes it all, without a restart; shifted twice is shifted once; who has no lease shifts nothing."""
    one, two = publish(0.0), publish(1.0)
    world.registry.fetch(two, layout.store(world.repository.root))
    world.declare(one)
    world.reconcile()
    target, before = world.target(), _pid(world)
    with pytest.raises(ConflictError, match="passed to another"):
        _shift(target, _pointer(world, two))
    with target.lease.held():
        assert _shift(target, _pointer(world, two)) == [True, False]
        assert _shift(target, _pointer(world, two)) == [False, False]
    version = target.observe().version
    assert version
    assert (version.release, version.lanes, _pid(world)) == (two.id, {"champion": two.id}, before)


def test_a_shift_to_what_cannot_be_loaded_leaves_traffic_where_it_is(world: "World", publish: "Publish") -> None:
    """The pointer goes back to what served, and the failure says that it still does."""
    one, broken = publish(0.0), publish(broken=True)
    world.registry.fetch(broken, layout.store(world.repository.root))
    world.declare(one)
    world.reconcile()
    target = world.target()
    with target.lease.held(), pytest.raises(DeliveryError, match="still serves"):
        _shift(target, _pointer(world, broken))
    version = target.observe().version
    assert version
    assert version.release == one.id


def _pointer(world: "World", release: Release) -> LanePointer:
    path = layout.store(world.repository.root).absolute() / release.artifact.removeprefix("sha256:")
    return LanePointer(release=release.id, artifact=release.artifact, path=str(path))


def _shift(target: LocalTarget, to: LanePointer) -> list[bool]:
    """Run the steps of a shift to their end; return which of them changed something."""
    changed = []
    for step in target.shift(to):
        result = step.run()
        while isinstance(result, Waiting):
            time.sleep(result.retry_after_s)
            result = step.run()
        if isinstance(result, Failed):
            raise result.error
        changed.append(result.changed)
    return changed


def test_a_process_that_has_ended_is_not_alive(tmp_path: Path) -> None:
    """Neither a zombie of ours nor a number that nobody has."""
    pid = processes.start(["true"], dict(os.environ), tmp_path / "log", tmp_path / "pid")
    until = time.monotonic() + 10
    while processes.alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not processes.alive(pid)
    assert not processes.has_variable(pid, "PATH", os.environ["PATH"])
    assert (tmp_path / "pid").read_text() == f"{pid}\n"
    processes.end(pid)
