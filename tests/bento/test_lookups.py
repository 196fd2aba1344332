# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""Features that rows leave out are looked up by their keys; here in a store that does what a real one seldom does.

It speaks as Feast's feature server does; that one itself is asked in tests/flows/test_online.py.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from aiohttp import web
from pyarrow import ipc

from towpath_bento.journal.reading import read_journal
from towpath_bento.online.rows import Rows
from towpath_bento.online.store import URL_VARIABLE
from towpath_bento.server import ModelServer
from towpath_bento.settings import Journal
from towpath_gitops.records.online import Online, OnlineKey, OnlineView
from towpath_gitops.records.pointer import Pointer, Split

VIEW = OnlineView(
    view="weather",
    columns=("city", "holiday", "hour"),
    keys=(OnlineKey(name="town", type="string"),),
    ttl_s=3600,
)
KNOWN: dict[object, tuple[Any, ...]] = {"G": ("Gent", True, 9), "D": ("Delft", False, 7), "W": ("Atlantis", False, 7)}
OLD = "old"
SENT = {"distance km": 3.5, "note": "rain"}
WHOLE = SENT | {"city": "Gent", "holiday": True, "hour": 9}
NOTHING = SENT | {"city": None, "holiday": None, "hour": None}
ARROW = "application/vnd.apache.arrow.stream"


class Store:
    """Answers as Feast's feature server does, and as late or as wrongly as a test wishes."""

    def __init__(self) -> None:
        """Know a few towns, one of them for a day."""
        self.asked: list[Mapping[str, Any]] = []
        self.late_s = 0.0
        self.status = 200
        self.came = asyncio.Event()
        self.waiting = self.most = 0  # questions at once
        self.runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; on the same port as before, if it did."""
        application = web.Application()
        application.router.add_post("/get-online-features", self.answer)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        assert self.runner is not None
        await self.runner.cleanup()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer what is asked."""
        asked = await request.json()
        self.asked.append(asked)
        self.came.set()
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(self.late_s)
        self.waiting -= 1
        if self.status != 200:
            return web.json_response("no", status=self.status)
        ((key, values),) = asked["entities"].items()
        names = [feature.split(":")[1] for feature in asked["features"]]
        now = datetime.now(UTC)
        results = [
            {
                "values": [KNOWN[value][place] if value in KNOWN else 1 if value == OLD else None for value in values],
                "statuses": ["PRESENT" if value in KNOWN or value == OLD else "NOT_FOUND" for value in values],
                "event_timestamps": [
                    (now - timedelta(days=value == OLD)).isoformat()
                    if value in (OLD, *KNOWN)
                    else "1970-01-01T00:00:00Z"
                    for value in values
                ],
            }
            for place, _ in enumerate(names)
        ]
        whole = [{"values": values, "statuses": [], "event_timestamps": []}, *reversed(results)]
        return web.json_response({"results": whole, "metadata": {"feature_names": [key, *reversed(names)]}})


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path, tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Return a function that serves a release which looks the weather up, beside a store."""

    @asynccontextmanager
    async def serving(**options: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Store, ModelServer]]:
        store = Store()
        await store.start()
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{store.port}")
        told = {"online": Online(views=(VIEW,), **({"timeout_s": 30.0} | options))}
        lanes = {"champion": tiny(told=told).lane, "shadow": tiny(bias=1.0, version=2, told=told).lane}
        split = Split(mode="shadow", share=1.0, salt="salt")
        pointer = Pointer(model="tiny", environment="testing", generation=1, lanes=lanes, split=split)
        path = tmp_path / "run" / "pointer.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(pointer.model_dump_json(by_alias=True))
        server = ModelServer("tiny", 1, journal=Journal(share=1, folder=tmp_path / "journal"))
        await server.start(path)
        transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
        async with httpx.AsyncClient(transport=transport, base_url="http://testing", timeout=60) as client:
            yield client, store, server
        await server.stop()
        await store.stop()

    return serving


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario in an event loop of its own."""
    asyncio.run(scenario)


async def ask(client: httpx.AsyncClient, *rows: Mapping[str, Any]) -> httpx.Response:
    """Ask for predictions."""
    return await client.post("/v1/predict", json={"rows": list(rows)})


def test_what_is_looked_up_counts_as_if_it_had_been_sent(serve: Serve, tmp_path: Path) -> None:
    """A row with a key is answered as the whole row is, and the journal holds the features that were used."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            whole, keyed = await ask(client, WHOLE), await ask(client, SENT | {"town": "G"})
            assert keyed.status_code == 200
            assert keyed.content == whole.content
            assert [each["entities"] for each in store.asked if each] == [{"town": ["G"]}] * len(store.asked)
            await asyncio.sleep(0.3)

    run(scenario())
    kept = read_journal(tmp_path / "journal").to_pandas()
    champion = kept[kept["towpath:lane"] == "champion"]
    assert champion["city"].tolist() == ["Gent", "Gent"]
    assert champion["hour"].tolist() == [9, 9]
    shadow = kept[kept["towpath:lane"] == "shadow"]
    assert set(shadow["city"]) == {"Gent"}, "the shadow looks up for itself"


def test_many_rows_are_one_question(serve: Serve) -> None:
    """Each key is asked for once; rows that bring everything are not asked for, and what they bring stands."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            rows = [SENT | {"town": town} for town in ("G", "D") * 500]
            answer = await ask(client, *rows, WHOLE, SENT | {"town": "D", "hour": 20})
            assert answer.status_code == 200
            assert sorted(store.asked[0]["entities"]["town"]) == ["D", "G"]
            assert store.asked[0]["features"] == ["weather:city", "weather:holiday", "weather:hour"]
            found = [each["probability"] for each in answer.json()["predictions"]]
            own = SENT | {"city": "Delft", "holiday": False, "hour": 20}
            alone = await ask(client, WHOLE, WHOLE | {"city": "Delft", "holiday": False, "hour": 7}, own)
            expected = [each["probability"] for each in alone.json()["predictions"]]
            assert found == expected[:2] * 500 + [expected[0], expected[2]]

    run(scenario())


def test_a_whole_row_needs_no_store(serve: Serve) -> None:
    """Golden requests and old callers bring all features, null among them: nobody is asked."""

    async def scenario() -> None:
        async with serve() as (client, store, server):
            server._predictions.shadow._queue = asyncio.Queue(1)
            assert (await ask(client, WHOLE, NOTHING)).status_code == 200
            assert (await ask(client, WHOLE | {"town": "G"})).status_code == 200
            assert not store.asked

    run(scenario())


@pytest.mark.parametrize("town", ["nowhere", OLD, None])
def test_who_is_unknown_has_missing_values(serve: Serve, town: str | None) -> None:
    """A key that the store does not know, or by old values only, or that is null: as if the values were missing."""

    async def scenario() -> None:
        async with serve() as (client, _, _server):
            assert (await ask(client, SENT | {"town": town})).content == (await ask(client, NOTHING)).content

    run(scenario())


def test_who_is_unknown_is_refused_where_that_is_wanted(serve: Serve) -> None:
    """With `unknown: refuse` each such row is named, with why."""

    async def scenario() -> None:
        async with serve(unknown="refuse") as (client, _, _server):
            answer = await ask(client, *(SENT | {"town": town} for town in ("G", "nowhere", OLD, None)))
            assert answer.status_code == 422
            told = {error["row"]: (error["field"], error["message"]) for error in answer.json()["errors"]}
            assert told == {
                1: ("town", "is not known to the online store (weather)"),
                2: ("town", "is known to the online store by old values only (weather)"),
                3: ("town", "is null, by which weather knows nobody"),
            }

    run(scenario())


@pytest.mark.parametrize(
    ("town", "message"),
    [
        ({}, "is missing: city, holiday, hour would be looked up by it"),
        ({"town": 7}, "must be text of up to 1000 letters"),
        ({"town": "x" * 1001}, "must be text of up to 1000 letters"),
    ],
)
def test_a_key_that_is_none_is_refused(serve: Serve, town: dict[str, Any], message: str) -> None:
    """A row without its features needs a key, of the right type; the store is not asked."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            answer = await ask(client, WHOLE, SENT | town)
            assert answer.status_code == 422
            assert answer.json()["errors"] == [{"row": 1, "field": "town", "message": message}]
            assert not store.asked

    run(scenario())


def test_a_store_that_is_late_keeps_nobody_else_waiting(serve: Serve) -> None:
    """While one request waits for the store, others are answered; when its time is up it is answered 503."""

    async def scenario() -> None:
        async with serve(timeout_s=2.0) as (client, store, _):
            store.late_s = 60.0
            waiting = asyncio.create_task(ask(client, SENT | {"town": "G"}))
            await store.came.wait()
            assert (await ask(client, WHOLE)).status_code == 200
            assert not waiting.done()
            answer = await waiting
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "weather" in answer.json()["detail"]
            told = (await client.get("/metrics")).text
            assert 'towpath_lookups_total{outcome="failed"}' in told

    run(scenario())


def test_a_store_that_fails_may_count_as_missing_values(serve: Serve) -> None:
    """With `late: missing` a store that is late, refuses, or is gone, does not keep a request from its answer."""

    async def scenario() -> None:
        async with serve(timeout_s=1.0, late="missing", unknown="refuse") as (client, store, _):
            expected = (await ask(client, NOTHING)).content
            store.status = 500
            assert (await ask(client, SENT | {"town": "G"})).content == expected
            store.status, store.late_s = 200, 30.0
            assert (await ask(client, SENT | {"town": "G"})).content == expected
            await store.stop()
            assert (await ask(client, SENT | {"town": "G"})).content == expected
            store.late_s = 0.0
            await store.start()
            assert (await ask(client, SENT | {"town": "G"})).content == (await ask(client, WHOLE)).content

    run(scenario())


def test_a_value_that_the_model_does_not_take_is_the_stores_fault(serve: Serve) -> None:
    """It is answered 502 and names the field; the release's own counter has it."""

    async def scenario() -> None:
        async with serve() as (client, _, _server):
            answer = await ask(client, WHOLE, SENT | {"town": "W"})
            assert answer.status_code == 502
            (error,) = answer.json()["errors"]
            assert (error["row"], error["field"]) == (1, "city")
            told = (await client.get("/metrics")).text
            counted = [
                line
                for line in told.splitlines()
                if line.startswith("towpath_requests_total") and 'status="502"' in line
            ]
            assert len(counted) == 1
            assert 'lane="champion"' in counted[0]

    run(scenario())


def test_a_stream_is_completed_too(serve: Serve) -> None:
    """Columns that an Arrow stream lacks are looked up for all rows in one question."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            towns = ["G", "D", None, "nowhere"]
            table = pa.table({"distance km": [3.5] * 4, "note": ["rain"] * 4, "town": towns})
            sink = pa.BufferOutputStream()
            with ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            body = bytes(sink.getvalue())
            answer = await client.post("/v1/predict", content=body, headers={"content-type": ARROW})
            assert answer.status_code == 200, answer.text
            with ipc.open_stream(answer.content) as reader:
                found = reader.read_all().column("probability").to_pylist()
            asked = list(store.asked)
            alone = await ask(client, *(SENT | {"town": town} for town in towns))
            assert found == [each["probability"] for each in alone.json()["predictions"]]
            assert [sorted(each["entities"]["town"]) for each in asked] == [["D", "G", "nowhere"]]

    run(scenario())


def test_a_streams_key_of_no_type_that_keys_have_is_refused(serve: Serve) -> None:
    """Lists, however they are nested, are no key, and are not looked into."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            table = pa.table({"distance km": [3.5], "note": ["rain"], "town": [[["G"]]]})
            sink = pa.BufferOutputStream()
            with ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            body = bytes(sink.getvalue())
            answer = await client.post("/v1/predict", content=body, headers={"content-type": ARROW})
            assert answer.status_code == 422
            assert answer.json()["errors"] == [
                {"row": 0, "field": "town", "message": "must be text of up to 1000 letters"}
            ]
            assert not store.asked

    run(scenario())


def test_what_is_no_request_is_refused_as_ever(serve: Serve) -> None:
    """Bodies that are no rows, and columns that nobody knows, are explained by the decoder; the store is not asked."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            for body in (b"", b"[]", b'{"rows": 3}', b'{"rows": [1]}', b'{"rows": []}', b'\xff{"rows": []}'):
                answer = await client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
                assert answer.status_code in (400, 422), body
            many = json.dumps({"rows": [SENT | {"town": "G"}] * 10_001}).encode()
            answer = await client.post("/v1/predict", content=many, headers={"content-type": "application/json"})
            assert answer.json()["errors"][0]["field"] == "rows"
            assert not store.asked
            answer = await ask(client, SENT | {"town": "G", "twon": "G"})
            assert answer.json()["errors"][0]["field"] == "twon"

    run(scenario())


def test_callers_are_told_what_they_may_leave_out(serve: Serve) -> None:
    """The OpenAPI document requires none of what is looked up, and names the key."""

    async def scenario() -> None:
        async with serve() as (client, _, _server):
            row = (await client.get("/openapi.json")).json()["components"]["schemas"]["Row"]
            assert row["required"] == ["distance km", "note"]
            assert row["properties"]["town"]["type"] == ["string", "null"]

    run(scenario())


def test_requests_wait_for_the_store_together(serve: Serve) -> None:
    """Requests that come at once are looked up at once, not one after the other."""

    async def scenario() -> None:
        async with serve() as (client, store, _):
            store.late_s = 0.5
            answers = await asyncio.gather(*(ask(client, SENT | {"town": "G"}) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert store.most > 10

    run(scenario())


def test_what_rows_hold_besides_their_keys_is_not_built() -> None:
    """It stays as it was sent, however it is nested; eight megabytes of it cost milliseconds."""
    nested = b'{"town": "G", "x": %s}' % (b"[" * 900 + b"]" * 900)
    body = b'{"rows": [%s]}' % b",".join([nested] * 4000)
    before_s = time.process_time()
    rows = Rows.open(body)
    assert rows
    assert rows.values("town", [0, 3999]) == ["G", "G"]
    assert rows.values("x", [0]) == [()]
    rows.put("mean", [0], [1.5])
    assert rows.body().startswith(b'{"rows":[{"town":"G","x":[[')
    assert time.process_time() - before_s < 0.5
