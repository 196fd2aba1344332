"""A real MLflow server that is slow, cut off, at its limits, or has acted without saying so.

Each request of what reconcile and promotion ask of the registry meets each fault, once or from then on. MLflow's
client tries each request twice; what fails after that must be said in words, and be made good by the next run. With no
failure in n faults, the chance of one is below 3/n (95 %).
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import UnavailableError
from towpath_gitops.forges.base import State
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import review
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict

sys.path.append(str(Path(__file__).parents[2]))
from faulty_http import Exchange, Fault, FaultyProxy, Reply, forward

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

    from towpath_gitops.records.release import Release

FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "latency": {"passed_on": True, "late_s": 0.05},
    "429 for an hour": {"status": 429, "headers": {"retry-after": "3600"}},
    "500": {"status": 500},
    "500 after it acted": {"status": 500, "passed_on": True},
    "reset": {"reset": True},
    "reset after it acted": {"reset": True, "passed_on": True},
    "half an answer": {"cut": True, "passed_on": True},
    # Not in the place of a file: bytes that are not those approved are refused for good, whoever sent them.
    "another's page": {
        "request": "/mlflow/",
        "status": 200,
        "page": b"<html>Please sign in</html>",
        "headers": {"content-type": "text/html"},
    },
    "late after it acted": {"reset": True, "passed_on": True, "late_s": 1.4},
}
WAIT_S: Final = 1  # for an answer that is late
LASTING: Final = 1_000_000
TRIES: Final = 2  # of each request, by MLflow's client
ENOUGH, PLENTY = 40, 600
NOW: Final = datetime(2026, 6, 2, tzinfo=UTC)
_NUMBERS = count(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(FaultyProxy):
    """A real MLflow server behind a proxy, and which aliases it was told to set."""

    def __init__(self, folder: Path) -> None:
        """Start the server and wait until it answers."""
        self.upstream, self.aliased, self.happened, self.usual = _free_port(), list[bytes](), 0, 0
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.upstream), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/kept"]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command], env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
            )
        super().__init__(self._passed_on)
        self._wait(folder / "log")

    def _wait(self, log: Path) -> None:
        until = time.monotonic() + 120
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{self.upstream}/health", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < until, log.read_text()
                assert self._process.poll() is None, log.read_text()
                time.sleep(0.1)

    def close(self) -> None:
        """Stop both."""
        super().close()
        os.killpg(self._process.pid, 15)
        self._process.wait(30)

    def _passed_on(self, exchange: Exchange) -> Reply:
        reply = forward(self.upstream, exchange)
        if exchange.verb == "POST" and exchange.path.endswith("/registered-models/alias") and reply.status == 200:
            self.aliased.append(exchange.body)
        return reply

    def requests_of(self, act: Callable[[], object]) -> int:
        """Do something undisturbed, and return how many requests it takes."""
        self.seen.clear()
        act()
        self.usual = len(self.seen)
        return self.usual

    def upset(self, act: Callable[[], Any], number: int, *, lasting: bool, **fault: Any) -> tuple[bool, Any]:  # noqa: ANN401 (whatever it returns)
        """Do something while its request `number` meets a fault; return whether it was done, and what it returned.

        What fails does so as unavailable, in words, after no more than twice the usual number of requests.
        """
        self.faults[:] = [Fault(**{"request": ".", **fault}, skip=number, left=LASTING if lasting else 1)]
        self.seen.clear()
        self.met.clear()
        error: UnavailableError | None = None
        answer = None
        with pytest.MonkeyPatch.context() as patch:
            if fault.get("late_s", 0) > WAIT_S:
                patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(WAIT_S))
            try:
                answer = act()
            except UnavailableError as caught:
                error = caught
            finally:
                self.faults.clear()
        self.happened += bool(self.met)
        assert len(self.seen) <= TRIES * self.usual
        if error:
            assert "the model registry at http://127.0.0.1" in error.what
            assert error.why
            assert "MLFLOW_TRACKING_URI" in error.hint
        return error is None, answer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The one server of all tests here; it takes seconds to start."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def registry(server: Server) -> Registry:
    """The registry behind the proxy; it takes the place of the one in a file."""
    return Registry(server.address)


Cases = Callable[[int, int], Iterator[tuple[int, bool, Mapping[str, Any]]]]


@pytest.fixture(params=["some", pytest.param("all", marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def cases(request: pytest.FixtureRequest) -> Cases:
    """Return a function that yields the number of a request, whether the fault lasts, and the fault.

    All of them, which takes minutes, or one in so many, but all where there is one request only.
    """
    faults = [*FAULTS.values()]

    def some(requests: int, every: int) -> Iterator[tuple[int, bool, Mapping[str, Any]]]:
        for number, turn in product(range(requests), range(len(faults))):
            if requests == 1 or (turn + 4 * number) % every == 0:
                yield number, (number + turn // every) % 2 == 0, faults[turn]

    def each(requests: int, _: int) -> Iterator[tuple[int, bool, Mapping[str, Any]]]:
        yield from product(range(requests), (False, True), faults)

    return some if request.param == "some" else each


# --- what is asked of the registry ---------------------------------------------------------------------------------


def _evidence(release: "Release") -> Evidence:
    finding = Finding(gate="roc_auc", verdict=Verdict.PASS, message="0.7")
    about = {"kind": Kind.EVALUATION, "model": release.model, "release": release.id, "gates": digest_of("gates")}
    return Evidence(created=datetime(2026, 6, 1, tzinfo=UTC), findings=(finding,), **about)


VERBS: Final[Mapping[str, Callable[[Registry, "Release", Path], object]]] = {
    "find": lambda registry, release, _: registry.find(release.model, release.id),
    "fetch": lambda registry, release, folder: _fetched(registry, release, folder / f"{next(_NUMBERS)}"),
    "evidence": lambda registry, release, _: registry.evidence(release),
    "signature": lambda registry, release, _: registry.signature(release),
    "aliases": lambda registry, release, _: registry.aliases(release.model),
    "publish evidence": lambda registry, release, _: registry.publish_evidence(release, _evidence(release)),
    "set an alias": lambda registry, release, _: registry.set_alias(release, "staging"),
}


def _fetched(registry: Registry, release: "Release", store: Path) -> list[str]:
    """Fetch into a store of its own; whatever happens, it holds the artifact or nothing."""
    try:
        registry.fetch(release, store)
    finally:
        left = sorted(path.name for path in store.iterdir())
        assert left in ([], [release.artifact.removeprefix("sha256:")])
    return left


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_asked_is_answered_rightly_or_not_at_all(
    server: Server, publish: "Publish", tmp_path: Path, verb: str, cases: Cases
) -> None:
    """Never half of it, never an empty answer for a lost one; asked again it is whole, what was written is there."""
    registry, release = Registry(server.address), publish()
    registry.publish_evidence(release, _evidence(release))
    registry.publish_signature(release, b"signed")
    registry.set_alias(publish(), "staging")

    def act() -> object:
        return VERBS[verb](registry, release, tmp_path)

    right = act()
    for number, lasting, fault in cases(server.requests_of(act), len(FAULTS)):
        done, answer = server.upset(act, number, lasting=lasting, **fault)
        assert not done or answer == right, (number, lasting, fault)
        assert act() == right
    assert registry.evidence(release) == {Kind.EVALUATION: _evidence(release)}
    assert registry.signature(release) == b"signed"
    assert registry.aliases(release.model) == {"staging": release.version + (verb != "set an alias")}


# --- reconcile -----------------------------------------------------------------------------------------------------


class Swaps:
    """A world in which one release replaces the other again and again, and neither is in the store."""

    def __init__(self, world: "World", publish: "Publish") -> None:
        """Let the first serve."""
        self.world, self.pair, self.number = world, (publish(0.0), publish(1.0)), 0
        self.next()
        world.reconcile()

    def next(self) -> tuple["Release", str]:
        """Declare the other release, and return it with main's commit."""
        self.number += 1
        shutil.rmtree(layout.store(self.world.repository.root), ignore_errors=True)
        release = self.pair[self.number % 2]
        return release, self.world.declare(release)

    def served(self) -> str | None:
        """Return what serves."""
        version = self.world.target().observe().version
        return version.release if version else None


def test_every_request_of_a_reconcile_may_fail(
    server: Server,
    world: "World",
    publish: "Publish",
    cases: Cases,
) -> None:
    """Something serves throughout; one more run ends as an undisturbed one: one entry of each, one alias, one store."""
    swaps = Swaps(world, publish)
    swaps.next()
    for number, lasting, fault in cases(server.requests_of(world.reconcile), 2 * len(FAULTS)):
        release, commit = swaps.next()
        server.aliased.clear()
        done, outcome = server.upset(world.reconcile, number, lasting=lasting, **fault)
        assert swaps.served() in ({release.id} if done else {each.id for each in swaps.pair})
        told = not done or outcome.notes or world.registry.aliases(world.model) == {"staging": release.version}
        assert told, (number, lasting, fault)
        world.reconcile()
        assert swaps.served() == release.id
        entries = [(each.event, each.verdict) for each in world.ledger.entries("staging") if each.commit == commit]
        assert entries == [(Event.APPLIED, None), (Event.VERIFIED, Verdict.PASS)]
        assert world.registry.aliases(world.model) == {"staging": release.version}
        assert world.registry.evidence(release)[Kind.VERIFICATION].environment == "staging"
        assert len(set(server.aliased)) == 1  # an answer that is lost is asked for again, in the same words
        assert len(server.aliased) <= TRIES + 1
        server.aliased.clear()
        again = world.reconcile()
        assert (again.changed, again.entries, server.aliased) == (False, (), [])
    assert world.ledger.verify() == []


# --- promotion -----------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(world: "World") -> Desk:
    """The desk of whoever proposes and reviews; Grace owns what is released."""
    world.push({layout.CODEOWNERS: b"/gitops/ grace@example.org\n"})
    return Desk(world.repository, LocalForge(world.repository, lambda: NOW), world.registry, world.ledger)


@pytest.fixture
def promoted(desk: Desk, publish: "Publish") -> Callable[[], Any]:
    """Return a function that proposes one and the same release, for which there is evidence."""
    release = publish()
    desk.store.publish_evidence(release, _evidence(release))
    return lambda: propose_promotion(desk, environment="staging", release=release, reason="weekly", now=NOW)


def test_every_request_of_a_proposal_may_fail(
    server: Server,
    desk: Desk,
    promoted: Callable[[], Any],
    cases: Cases,
) -> None:
    """A proposal is made whole or not at all; proposed again it is the one that is open."""
    whole = promoted()
    requests = server.requests_of(promoted)
    for number, lasting, fault in cases(requests, 2 * len(FAULTS)):
        desk.forge.close(desk.forge.list()[-1].number, "Anew.")
        server.upset(promoted, number, lasting=lasting, **fault)
        pull = promoted()
        assert [each.number for each in desk.forge.list(State.OPEN)] == [pull.number]
        assert pull.data.replace(pull.head, whole.head) == whole.data
        assert promoted() == pull


def test_every_request_of_a_review_may_fail(
    server: Server,
    desk: Desk,
    promoted: Callable[[], Any],
    cases: Cases,
) -> None:
    """It says what it says undisturbed, or nothing."""
    number = promoted().number

    def judge() -> str:
        return str(review(desk, number, now=NOW))

    right = judge()
    for request, lasting, fault in cases(server.requests_of(judge), len(FAULTS)):
        done, answer = server.upset(judge, request, lasting=lasting, **fault)
        assert not done or answer == right, (request, lasting, fault)
    assert judge() == right


@pytest.fixture
def all_of_them(request: pytest.FixtureRequest) -> None:
    """Skip what counts the faults where only a part of this file ran."""
    here = [item for item in request.session.items if item.path == request.node.path and "cases" in item.fixturenames]
    if len({item.function.__name__ for item in here}) < len(TESTS):
        pytest.skip("only a part of this file runs")


TESTS: Final = (
    test_what_is_asked_is_answered_rightly_or_not_at_all,
    test_every_request_of_a_reconcile_may_fail,
    test_every_request_of_a_proposal_may_fail,
    test_every_request_of_a_review_may_fail,
)


@pytest.mark.usefixtures("all_of_them")
def test_enough_went_wrong(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Forty faults without a failure bound the chance of one below 8 %."""
    _require(server, capsys, ENOUGH)


@pytest.mark.long
@pytest.mark.usefixtures("all_of_them")
def test_plenty_went_wrong(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Six hundred bound it below 0.5 %."""
    _require(server, capsys, PLENTY)


def _require(server: Server, capsys: "pytest.CaptureFixture[str]", least: int) -> None:
    number = server.happened
    with capsys.disabled():
        print(f"\n{number} faults of the registry, no failure: at most {3 / number:.2%} of them fail (95 %)")  # noqa: T201 (a figure)
    assert number >= least
