# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""Several releases at once: asked by their ids, held in memory up to a limit, and lanes that callers choose."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_bento.server import ModelServer
from towpath_bento.settings import Limits
from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import Pointer, Split


@asynccontextmanager
async def serving(
    folder: Path, *, earlier: Any = (), split: Split | None = None, releases: int = 4, **lanes: Any
) -> AsyncIterator[tuple[ModelServer, httpx.AsyncClient]]:
    """Run the application with these lanes and earlier releases, and a client that speaks to it."""
    server = ModelServer("tiny", 1, limits=Limits(releases=releases))
    await server.start(point(folder, 1, earlier=earlier, split=split, **lanes))
    transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
    async with httpx.AsyncClient(transport=transport, base_url="http://testing") as client:
        yield server, client
    await server.stop()


def point(folder: Path, generation: int, *, earlier: Any = (), split: Split | None = None, **lanes: Any) -> Path:
    """Write a pointer and return its path."""
    named = {name: made.lane for name, made in lanes.items()}
    before = tuple(made.lane for made in earlier)
    pointer = Pointer(
        model="tiny", environment="testing", generation=generation, lanes=named, split=split, earlier=before
    )
    write_atomically(folder / "pointer.json", pointer.model_dump_json(by_alias=True))
    return folder / "pointer.json"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario in an event loop of its own."""
    asyncio.run(scenario)


async def ask(client: httpx.AsyncClient, made: Any, row: Any) -> httpx.Response:
    """Ask a release by its id."""
    return await client.post(f"/v1/releases/{made.release.id}/predict", json={"rows": [row]})


async def loaded(client: httpx.AsyncClient) -> dict[str, tuple[str | None, bool]]:
    """Return what the service says of each release: its lane, and whether it is loaded."""
    listed = (await client.get("/v1/releases")).json()["releases"]
    return {each["release"]: (each["lane"], each["loaded"]) for each in listed}


def test_releases_are_asked_by_their_ids(tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """A release in a lane and one of before each answer as themselves; the latter is loaded for the first request."""
    champion, before = tiny(bias=1.0), tiny(bias=-1.0, version=2)

    async def scenario() -> None:
        async with serving(tmp_path, champion=champion, earlier=[before]) as (_, client):
            listed = {champion.release.id: ("champion", True), before.release.id: (None, False)}
            assert await loaded(client) == listed
            plain = (await client.post("/v1/predict", json={"rows": [row]})).json()
            assert (await ask(client, champion, row)).json() == plain
            answers = await asyncio.gather(*(ask(client, before, row) for _ in range(5)))
            assert {each.json()["release"] for each in answers} == {before.release.id}
            assert answers[0].json()["predictions"] != plain["predictions"]
            assert answers[0].headers["x-towpath-lane"] == "named"
            assert await loaded(client) == listed | {before.release.id: (None, True)}
            text = (await client.get("/metrics")).text
            assert f'towpath_requests_total{{lane="named",release="{before.release.id}",status="200"}} 5.0' in text

    run(scenario())


def test_a_release_that_never_served_here_is_404(tmp_path: Path, tiny: Callable[..., Any], row: Any) -> None:
    """So is anything else in the place of an id, and a release of before is no way around the checks of a request."""
    champion, before = tiny(bias=1.0), tiny(bias=-1.0, version=2)

    async def scenario() -> None:
        async with serving(tmp_path, champion=champion, earlier=[before]) as (_, client):
            assert (await ask(client, tiny(version=3), row)).status_code == 404
            for path in ("/v1/releases//predict", "/v1/releases/predict", "/v1/releases/x/y/predict", "/v1/releases/x"):
                assert (await client.post(path, json={"rows": [row]})).status_code == 404
            assert (await ask(client, before, row | {"hour": 99})).status_code == 422
            assert (await client.get(f"/v1/releases/{before.release.id}/predict")).status_code == 405

    run(scenario())


def test_the_least_recently_used_is_let_go_and_never_a_lane(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Whatever is asked, lanes stay in memory and at most as many others as the owner allows."""
    champion, challenger = tiny(bias=1.0), tiny(bias=2.0, version=2)
    a, b, c = earlier = [tiny(bias=-float(number), version=2 + number) for number in (1, 2, 3)]

    async def scenario() -> None:
        split = Split(mode="ab", share=0.5, salt="s")
        lanes = {"champion": champion, "challenger": challenger}
        async with serving(tmp_path, earlier=earlier, split=split, releases=2, **lanes) as (server, client):
            for made in (a, b, a, c, a):
                assert (await ask(client, made, row)).json()["release"] == made.release.id
            assert {made.release.id: each for made, each in zip(earlier, (True, False, True), strict=True)} == {
                release: here for release, (lane, here) in (await loaded(client)).items() if lane is None
            }
            assert len(server.follower.held) == 4
            assert {lane for lane, here in (await loaded(client)).values() if here} >= {"champion", "challenger"}

    run(scenario())


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_release_that_cannot_be_loaded_any_more(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any], fault: str
) -> None:
    """Its callers get 503 without insides; the champion answers, and the release too once it is whole again."""
    champion, before = tiny(bias=1.0), tiny(bias=-1.0, version=2)
    shutil.copytree(before.folder, tmp_path / "kept")

    async def scenario() -> None:
        async with serving(tmp_path, champion=champion, earlier=[before]) as (_, client):
            if fault == "gone":
                shutil.rmtree(before.folder)
            else:
                (before.folder / "golden.json").write_text("{}")
            answer = await ask(client, before, row)
            assert answer.status_code == 503
            assert str(tmp_path) not in answer.text
            assert (await client.post("/v1/predict", json={"rows": [row]})).status_code == 200
            shutil.rmtree(before.folder, ignore_errors=True)
            shutil.copytree(tmp_path / "kept", before.folder)
            assert (await ask(client, before, row)).status_code == 200

    run(scenario())


def test_a_promotion_leaves_the_release_of_before_askable(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """It is in memory still, and answers the very bytes that it answered as champion."""
    old, new = tiny(bias=1.0), tiny(bias=-1.0, version=2)

    async def scenario() -> None:
        async with serving(tmp_path, champion=old) as (server, client):
            before = await client.post("/v1/predict", json={"rows": [row]})
            point(tmp_path, 2, champion=new, earlier=[old])
            await server.follower.look()
            assert await loaded(client) == {new.release.id: ("champion", True), old.release.id: (None, True)}
            assert (await ask(client, old, row)).content == before.content

    run(scenario())


@pytest.mark.parametrize(
    ("mode", "lane", "status"),
    [
        (None, "champion", 200),
        (None, "challenger", 403),
        (None, "", 403),
        ("canary", "champion", 200),
        ("canary", "challenger", 200),
        ("canary", "shadow", 403),
        ("canary", "other", 403),
        ("ab", "champion", 403),
        ("ab", "challenger", 403),
        ("shadow", "champion", 200),
        ("shadow", "shadow", 403),
    ],
)
def test_callers_choose_a_lane_where_it_harms_nothing(  # noqa: PLR0913, PLR0917 (fixtures and a row of the table)
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any], mode: Any, lane: str, status: int
) -> None:
    """During a canary either; never one group of an A/B test, nor the shadow, whose answers are nobody's."""
    made = {"champion": tiny(bias=1.0)}
    if mode:
        made["shadow" if mode == "shadow" else "challenger"] = tiny(bias=-1.0, version=2)

    async def scenario() -> None:
        split = Split(mode=mode, share=0.5, salt="s") if mode else None
        async with serving(tmp_path, split=split, **made) as (_, client):
            for entity in "abcdef":
                asked = {"rows": [row], "entity": entity}
                answer = await client.post("/v1/predict", json=asked, headers={"x-towpath-lane": lane})
                assert answer.status_code == status
                if status == 200:
                    assert answer.headers["x-towpath-lane"] == lane
                    assert answer.json()["release"] == made[lane].release.id

    run(scenario())
