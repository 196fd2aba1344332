"""A remote behind HTTP that is slow, cut off, at its limits, or has taken a push without saying so.

Git's own server program answers, as behind any web server; git's client tries nothing twice.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from towpath_gitops.delivery.ledger import Event
from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.evidence import Verdict

sys.path.append(str(Path(__file__).parents[2]))
from faulty_http import Exchange, Fault, FaultyProxy, Reply

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

TIMEOUT_S: Final = 3.0
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "latency": {"passed_on": True, "late_s": 0.05},
    "429 for an hour": {"status": 429, "headers": {"retry-after": "3600"}},
    "500": {"status": 500},
    "500 after it acted": {"status": 500, "passed_on": True},
    "reset": {"reset": True, "left": 2},  # the client's library asks again where a connection was used before
    "reset after it acted": {"reset": True, "passed_on": True, "left": 2},
    "half an answer": {"cut": True, "passed_on": True},
}
LATE: Final = {"late after it acted": {"reset": True, "passed_on": True, "late_s": TIMEOUT_S + 1}}
ENOUGH, PLENTY = 6, 24


def _answered_by_git(folder: Path, exchange: Exchange) -> Reply:
    """Let git's own server answer a request about the repositories in a folder, to somebody who may push."""
    place = {"GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "ada"}
    names = {"CONTENT_TYPE": "content-type", "HTTP_CONTENT_ENCODING": "content-encoding"}
    names |= {"HTTP_GIT_PROTOCOL": "git-protocol", "QUERY_STRING": "x-query"}
    asked = {name: exchange.headers.get(header, "") for name, header in names.items()}
    asked |= {"PATH_INFO": exchange.path, "REQUEST_METHOD": exchange.verb, "CONTENT_LENGTH": str(len(exchange.body))}
    done = subprocess.run(
        ["git", "http-backend"], input=exchange.body, env=os.environ | place | asked, capture_output=True, check=False
    )
    head, _, data = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    headers = {name.lower(): value for name, value in headers.items()}
    return Reply(int(headers.pop("status", "200").split(" ")[0]), data, headers)


@pytest.fixture
def server(world: "World", remote: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """The remote's server, which the world's clone asks."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = FaultyProxy(lambda exchange: _answered_by_git(remote.parent, exchange))
    world.repository.git.run("remote", "set-url", "origin", f"{server.address}/{remote.name}")
    yield server
    server.close()


def _cases(requests: int, *, thorough: bool) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number in range(requests):
        faults = [*FAULTS.values(), *LATE.values()]
        yield from ((number, fault) for turn, fault in enumerate(faults) if thorough or (turn + 2 * number) % 4 == 0)


def _try_all(server: FaultyProxy, world: "World", publish: "Publish", *, thorough: bool) -> int:
    """Let each request of a reconcile meet faults; return how many happened."""
    pair, happened = (publish(0.0), publish(1.0)), 0
    world.declare(pair[0])
    world.reconcile()
    world.declare(pair[1])
    server.seen.clear()
    world.reconcile()
    requests = len(server.seen)
    assert any(str(each).endswith("git-receive-pack") for each in server.seen)
    for turn, (number, fault) in enumerate(_cases(requests, thorough=thorough)):
        release, before = pair[turn % 2], pair[(turn + 1) % 2]
        commit = world.declare(release)
        server.met.clear()
        server.faults[:] = [Fault("/", skip=number, **fault)]
        served = {before.id, release.id}
        try:
            world.reconcile()
            served = {release.id}
        except UnavailableError as error:
            assert "git " in error.what  # noqa: PT017 (either will do)
        finally:
            server.faults.clear()
        happened += bool(server.met)
        version = world.target().observe().version
        assert version
        assert version.release in served
        world.reconcile()
        version = world.target().observe().version
        assert version
        assert version.release == release.id
        entries = [(each.event, each.verdict) for each in world.ledger.entries("staging") if each.commit == commit]
        assert entries == [(Event.APPLIED, None), (Event.VERIFIED, Verdict.PASS)], (number, fault)
        assert world.registry.aliases(world.model) == {"staging": release.version}
    assert world.ledger.verify() == []
    return happened


def _say(happened: int, capsys: pytest.CaptureFixture[str], least: int) -> None:
    with capsys.disabled():
        print(f"\n{happened} faults of the remote, no failure: at most {3 / happened:.1%} of them fail (95 %)")  # noqa: T201 (a figure)
    assert happened >= least


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("towpath_gitops.git.TIMEOUT_S", TIMEOUT_S)


def test_every_request_to_the_remote_may_fail(
    server: FaultyProxy, world: "World", publish: "Publish", capsys: pytest.CaptureFixture[str]
) -> None:
    """Something serves throughout; one more run ends as an undisturbed one, and the ledger tells each thing once."""
    _say(_try_all(server, world, publish, thorough=False), capsys, ENOUGH)


@pytest.mark.long
def test_every_request_to_the_remote_meets_every_fault(
    server: FaultyProxy, world: "World", publish: "Publish", capsys: pytest.CaptureFixture[str]
) -> None:
    """As above, with all of them."""
    _say(_try_all(server, world, publish, thorough=True), capsys, PLENTY)
