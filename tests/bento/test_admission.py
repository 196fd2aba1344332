# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""More requests than a worker can answer in time."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_bento.admission import INLINE_BYTES, THREADS
from towpath_bento.openapi import document
from towpath_bento.server import ModelServer
from towpath_bento.settings import Limits
from towpath_bento.wire import Codec
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.pointer import Pointer

WAITING = 3


class Held:
    """An engine that does before each answer what a test asks for."""

    def __init__(self, engine: Any, before: Callable[[], object]) -> None:
        """Stand before `engine`."""
        self._engine, self._before = engine, before

    def predict(self, columns: Any) -> Any:
        """Answer afterwards as the engine does."""
        self._before()
        return self._engine.predict(columns)


@asynccontextmanager
async def serving(
    folder: Path, made: Any, limits: Limits, before: Callable[[], object]
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a release in this process, with `before` called ahead of each prediction."""
    pointer = Pointer(model="tiny", environment="testing", generation=1, lanes={"champion": made.lane})
    (folder / "pointer.json").write_text(pointer.model_dump_json(by_alias=True))
    server = ModelServer("tiny", 1, limits=limits)
    await server.start(folder / "pointer.json")
    lane = server.follower.live.lanes["champion"]
    lane.engine.few = Held(lane.engine.few, before)
    transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
    async with httpx.AsyncClient(transport=transport, base_url="http://testing", timeout=60) as client:
        yield client
    await server.stop()


def body(row: dict[str, Any], *, large: bool = False) -> bytes:
    """Return a request that is answered in a thread, or one that is answered in the event loop."""
    made = json.dumps({"rows": [row] * (1000 if large else 1)}).encode()
    assert (len(made) > INLINE_BYTES) == large
    return made


async def ask(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    """Ask for predictions."""
    return await client.post("/v1/predict", content=content)


def refused(answer: httpx.Response) -> bool:
    """Whether an answer says that there is too much to do, and when to come again."""
    if answer.status_code == 200:
        return False
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["status"] == 503
    return True


def test_large_requests_wait_up_to_a_limit(tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """Beyond it they get 503 at once; small ones are answered meanwhile; and then all is as before."""
    go_on, small_ones = threading.Event(), threading.local()

    async def scenario() -> None:
        small_ones.here = True  # only this thread, the event loop's, has it
        limits = Limits(waiting=WAITING)
        before = lambda: hasattr(small_ones, "here") or go_on.wait(60)  # noqa: E731 (a lambda reads best here)
        async with serving(tmp_path, tiny(), limits, before) as client:
            asked = [asyncio.create_task(ask(client, body(row, large=True))) for _ in range(THREADS + WAITING)]
            await asyncio.sleep(0.1)
            assert refused(await ask(client, body(row, large=True)))
            assert not refused(await ask(client, body(row)))
            go_on.set()
            assert not any([refused(await each) for each in asked])
            assert not refused(await ask(client, body(row, large=True)))
            assert (
                'towpath_requests_total{lane="none",release="none",status="503"}' in (await client.get("/metrics")).text
            )

    asyncio.run(scenario())


def test_a_late_worker_refuses_what_it_cannot_answer_in_time(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Of far too many small requests at once some are answered and the others refused; the next one is answered."""

    async def scenario() -> None:
        limits = Limits(waiting=WAITING, wait_s=0.1)
        async with serving(tmp_path, tiny(), limits, lambda: time.sleep(0.02)) as client:
            answers = await asyncio.gather(*(ask(client, body(row)) for _ in range(100)))
            counts = Counter(map(refused, answers))
            assert counts[True] > counts[False] > 0
            await asyncio.sleep(0.1)  # as any caller from outside would take to come
            assert (await client.get("/livez")).status_code == 200
            assert not refused(await ask(client, body(row)))

    asyncio.run(scenario())


def test_a_worker_that_was_held_up_refuses_nobody(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """The few who came while the machine slept are not too many, however late it is."""

    async def scenario() -> None:
        async with serving(tmp_path, tiny(), Limits(waiting=WAITING, wait_s=0.1), lambda: None) as client:
            asked = [asyncio.create_task(ask(client, body(row))) for _ in range(WAITING)]
            time.sleep(0.3)  # noqa: ASYNC251 (that is what is tested)
            assert not any([refused(await each) for each in asked])

    asyncio.run(scenario())


def test_a_service_survives_many_large_requests(service: Any, row: dict[str, Any]) -> None:
    """Every caller is answered or told to come again, and whoever comes next is answered."""
    content = body(row, large=True)

    def call(_: int) -> httpx.Response:
        return httpx.post(f"{service.client.base_url}/v1/predict", content=content, timeout=60, trust_env=False)

    with ThreadPoolExecutor(40) as pool:
        counts = Counter(map(refused, pool.map(call, range(120))))
    assert counts[False] > 0
    assert service.predict(row).status_code == 200


def test_unknown_columns_may_be_ignored(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """They are neither read nor named then, what is wrong besides still is, and the contract says so."""
    signature = tiny().signature
    codec = Codec(signature, "ignore")
    sent = codec.decode(json.dumps({"rows": [row | {"colour": "red"}]}).encode())
    plain = codec.decode(json.dumps({"rows": [row]}).encode())
    assert [sent.columns[name].tolist() for name in sent.columns] == [each.tolist() for each in plain.columns.values()]
    with pytest.raises(Exception, match="hour") as caught:
        codec.decode(json.dumps({"rows": [row | {"colour": "red", "hour": 77}]}).encode())
    assert [each["field"] for each in caught.value.errors] == ["hour"]  # type: ignore[attr-defined]  # a ProblemError
    rows = [
        document("tiny", signature, unknown)["components"]["schemas"]["Row"]["additionalProperties"]
        for unknown in ("refuse", "ignore")
    ]
    assert rows == [False, True]


@pytest.mark.parametrize("wrong", [{"waiting": -1}, {"wait_s": 0}, {"unknown_columns": "drop"}])
def test_limits_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the setting and the file in which to correct it."""
    with pytest.raises(InvalidFileError, match=next(iter(wrong))) as caught:
        Limits(**wrong)
    assert "service.py" in caught.value.hint
