# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""The HTTP application in this very process: what a real service could be brought to do only with effort."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from towpath_bento import asgi
from towpath_bento.__main__ import command, settings
from towpath_bento.follower import Follower, read_pointer, read_states
from towpath_bento.packaged import packaged_pointer
from towpath_bento.server import ModelServer
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.pointer import Pointer

ADDRESS = "http://testing"


@pytest.fixture
def point(tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., Path]:
    """Write a pointer to a fresh release as champion; return its path."""

    def write(generation: int = 1, **options: Any) -> Path:
        path = tmp_path / "run" / "pointer.json"
        path.parent.mkdir(exist_ok=True)
        pointer = Pointer(
            model="tiny", environment="testing", generation=generation, lanes={"champion": tiny(**options).lane}
        )
        path.write_text(pointer.model_dump_json(by_alias=True))
        return path

    return write


@asynccontextmanager
async def serving(pointer: Path) -> AsyncIterator[tuple[ModelServer, httpx.AsyncClient]]:
    """Run the application, and a client that speaks to it."""
    server = ModelServer("tiny", 1)
    await server.start(pointer)
    transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield server, client
    await server.stop()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario in an event loop of its own."""
    asyncio.run(scenario)


def test_every_route_answers(point: Callable[..., Path], row: dict[str, Any]) -> None:
    """The application answers on all of its routes, and says who it is."""

    async def scenario() -> None:
        async with serving(point()) as (_, client):
            for path in ("/livez", "/readyz", "/ping", "/metrics", "/openapi.json", "/version"):
                assert (await client.get(path)).status_code == 200
            version = (await client.get("/version")).json()
            assert version["converged"]
            assert version["workers"] == {str(os.getpid()): 1}
            small = await client.post("/v1/predict", json={"rows": [row]})
            large = await client.post("/invocations", json={"rows": [row] * 1000})
            assert large.json()["predictions"] == small.json()["predictions"] * 1000

    run(scenario())


def test_a_fault_of_ours_tells_nothing(point: Callable[..., Path], row: dict[str, Any], caplog: Any) -> None:
    """When an engine fails the caller gets a problem document without insides; the log has them."""

    async def scenario() -> None:
        async with serving(point()) as (server, client):

            class Broken:
                def predict(self, _: object) -> np.ndarray:
                    raise RuntimeError("a secret")

            object.__setattr__(server.follower.live.lanes["champion"], "engine", Broken())
            answer = await client.post("/v1/predict", json={"rows": [row]})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text

    run(scenario())
    assert "a secret" in caplog.text


def test_a_fault_is_counted_for_the_release_that_had_it(point: Callable[..., Path], row: dict[str, Any]) -> None:
    """Whoever watches a release sees its 5xx under its own name, apart from what callers did wrong."""

    async def scenario() -> tuple[str, str]:
        async with serving(point(version=77)) as (server, client):
            lane = server.follower.live.lanes["champion"]

            class Broken:
                def predict(self, _: object) -> np.ndarray:
                    raise RuntimeError

            object.__setattr__(lane, "engine", Broken())
            await client.post("/v1/predict", json={"rows": [row]})
            return lane.release, (await client.get("/metrics")).text

    release, text = asyncio.run(scenario())
    assert f'towpath_requests_total{{lane="champion",release="{release}",status="500"}} 1.0' in text


def test_a_probe_is_answered_by_its_lane_and_is_nobodys_traffic(
    point: Callable[..., Path], row: dict[str, Any]
) -> None:
    """What Towpath itself asks counts for no lane, so that a service without callers is not taken for a busy one."""

    async def scenario() -> tuple[str, str]:
        async with serving(point(version=78)) as (server, client):
            champion = {"x-towpath-probe": "champion"}
            answer = await client.post("/v1/predict", json={"rows": [row]}, headers=champion)
            nobody = await client.post("/v1/predict", json={"rows": [row]}, headers={"x-towpath-probe": "challenger"})
            assert (answer.status_code, nobody.status_code) == (200, 503)
            return server.follower.live.lanes["champion"].release, (await client.get("/metrics")).text

    release, text = asyncio.run(scenario())
    assert f'towpath_requests_total{{lane="probe",release="{release}",status="200"}} 1.0' in text
    assert f'towpath_requests_total{{lane="champion",release="{release}"' not in text


def test_a_body_that_does_not_come_is_408(point: Callable[..., Path], monkeypatch: Any) -> None:
    """A caller who dawdles is told so in the end; one who hangs up is not answered, and leaves nothing waiting."""
    monkeypatch.setattr(asgi, "BODY_TIMEOUT_S", 0.05)
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def scenario() -> None:
        async with serving(point()) as (server, _):
            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}

            async def never() -> dict[str, Any]:
                await asyncio.sleep(60)
                return {}

            async def gone() -> dict[str, Any]:
                return {"type": "http.disconnect"}

            await server(scope, never, send)
            await server(scope, gone, send)

    run(scenario())
    assert statuses == [408, 0]


def test_a_worker_says_what_it_holds_as_soon_as_it_can(point: Callable[..., Path]) -> None:
    """Where the state cannot be written the release is live all the same, and the state follows once it can."""
    pointer = point()
    blocked = pointer.parent / "workers"
    blocked.touch()

    async def scenario() -> None:
        follower = Follower("tiny", pointer)
        await follower.look()
        assert follower.ready
        blocked.unlink()
        assert read_states(blocked) == []
        await follower.look()
        (state,) = read_states(blocked)
        assert (state.pid, state.generation, state.error) == (os.getpid(), 1, None)
        (blocked / "99999999.json").write_text("{}")  # of a process that is no more
        point(2, version=2)
        await follower.look()
        assert [path.stem for path in blocked.iterdir()] == [str(os.getpid())]
        follower.withdraw()
        assert read_states(blocked) == []

    run(scenario())


def test_many_releases_do_not_pile_up(point: Callable[..., Path]) -> None:
    """Old lanes are kept warm up to a limit; the oldest are let go."""

    async def scenario() -> None:
        follower = Follower("tiny", point())
        for generation in range(1, 9):
            await follower.look()
            point(generation + 1, bias=float(generation), version=generation + 1)
        assert follower.live.generation == 8
        assert len(follower.held) == 5

    run(scenario())


def test_a_packaged_release_needs_no_pointer(tmp_path: Path, tiny: Callable[..., Any], monkeypatch: Any) -> None:
    """Beside `release.json` and `model/` a pointer is made; where there is nothing to serve it is said."""
    made = tiny()
    with pytest.raises(NotFoundError, match="nothing to serve"):
        packaged_pointer(tmp_path)
    (tmp_path / "release.json").write_text(made.release.model_dump_json(by_alias=True))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    monkeypatch.setenv("TOWPATH_ENVIRONMENT", "edge")
    pointer = read_pointer(packaged_pointer(tmp_path))
    assert pointer.environment == "edge"
    assert pointer.lanes["champion"].release == made.release.id
    assert pointer.lanes["champion"].path == str(tmp_path / "model")


def test_services_do_not_share_a_home(monkeypatch: Any, tmp_path: Path) -> None:
    """Each service has a BentoML home of its own, beside its pointer or in a temporary folder; nothing is reported."""
    monkeypatch.setenv("TOWPATH_POINTER", str(tmp_path / "pointer.json"))
    first, second = settings(3000, 1), settings(3001, 2)
    assert first["BENTOML_HOME"] != second["BENTOML_HOME"]
    assert Path(first["BENTOML_HOME"]).is_relative_to(tmp_path)
    assert (first["BENTOML_DO_NOT_TRACK"], second["TOWPATH_WORKERS"]) == ("True", "2")
    monkeypatch.delenv("TOWPATH_POINTER")
    assert Path(settings(3000, 1)["BENTOML_HOME"]).is_dir()
    assert command(tmp_path / "service.py", 3000)[4:] == [
        "service:service", "--working-dir", str(tmp_path), "--host", "127.0.0.1", "--port", "3000",
        "--timeout-graceful-shutdown", "5",
    ]  # fmt: skip


def test_a_service_file_that_is_not_there_is_told() -> None:
    """A wrong path ends with a usage message, not with BentoML's traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "towpath_bento", "--service", "nowhere.py", "--port", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there is no file nowhere.py" in done.stderr


def test_the_contract_is_valid_json(point: Callable[..., Path]) -> None:
    """The OpenAPI document refers only to schemas that it holds."""

    async def scenario() -> None:
        async with serving(point()) as (_, client):
            text = (await client.get("/openapi.json")).text
        schemas = json.loads(text)["components"]["schemas"]
        references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
        assert references <= set(schemas)

    run(scenario())


@pytest.mark.parametrize(("length", "status"), [(b"9" * 5000, 413), (b"\xb2", 200)])
def test_an_odd_length_is_no_fault_of_ours(point: Callable[..., Path], row: Any, length: bytes, status: int) -> None:
    """A declared length that Python does not read as a number is too large, or is not asked."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps({"rows": [row]}).encode()}

    async def scenario() -> None:
        async with serving(point()) as (server, _):
            headers = [(b"content-length", length)]
            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers}
            await server(scope, receive, send)

    run(scenario())
    assert statuses[0] == status


def test_a_request_that_is_not_complete_when_the_service_ends_is_told_so(point: Callable[..., Path]) -> None:
    """Uvicorn cancels what takes longer than it waits; that is no fault of the service."""

    async def scenario() -> None:
        async with serving(point()) as (server, _):
            sent: list[Any] = []
            coming, ended = asyncio.Event(), asyncio.Event()

            async def receive() -> Any:
                coming.set()
                await ended.wait()

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}
            request = asyncio.create_task(server(scope, receive, send))
            await coming.wait()
            request.cancel()
            await request
            assert sent[0]["status"] == 503
            assert (b"retry-after", b"1") in sent[0]["headers"]

    run(scenario())
