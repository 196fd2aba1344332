import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_bento import metrics
from towpath_bento.journal.entry import Noted
from towpath_bento.lane import Lane, load
from towpath_bento.router import Live, Shadow, position
from towpath_bento.wire import decisions
from towpath_gitops.records.pointer import Split
from towpath_gitops.records.signature import Signature


def body(entity: str | None) -> bytes:
    """Return a request with this key; the rows do not matter to routing."""
    return json.dumps({"rows": [], "entity": entity}).encode()


@pytest.fixture
def lanes(tiny: Callable[..., Any]) -> dict[str, Lane]:
    """A champion and another release."""
    return {"champion": load(tiny().lane), "other": load(tiny(bias=1.0, version=2).lane)}


def test_without_a_champion_nobody_answers() -> None:
    """A worker that holds nothing routes nowhere."""
    assert Live(0, {}).choose(b"{}") is None


def test_the_same_key_always_gets_the_same_lane(lanes: dict[str, Lane]) -> None:
    """Assignment hangs on key and salt alone, and the share is kept."""
    for mode in ("ab", "canary"):
        live = Live(
            1,
            {"champion": lanes["champion"], "challenger": lanes["other"]},
            Split(mode=mode, share=0.3, salt="s"),
        )
        chosen = [live.choose(body(f"k{number}")) for number in range(2000)]
        assert chosen == [live.choose(body(f"k{number}")) for number in range(2000)]
        assert 0.26 < sum(pair is not None and pair[0] == "challenger" for pair in chosen) / 2000 < 0.34


def test_a_request_without_a_key_is_its_own(lanes: dict[str, Lane]) -> None:
    """Equal requests without a key get the same lane; different ones are spread; what is no request does no harm."""
    live = Live(1, {"champion": lanes["champion"], "challenger": lanes["other"]}, Split(mode="ab", share=0.5, salt="s"))
    names = {live.choose(b'{"rows": [%d]}' % number)[0] for number in range(50)}  # type: ignore[index]  # there is a champion
    assert names == {"champion", "challenger"}
    assert live.choose(b"\xff") == live.choose(b"\xff")


def test_a_request_is_read_once_where_all_lanes_read_it_alike(
    lanes: dict[str, Lane], tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Then it gets the lane that it would get by its bytes; where one release reads otherwise, that is known first."""
    split = Split(mode="ab", share=0.5, salt="s")
    alike = Live(1, {"champion": lanes["champion"], "challenger": lanes["other"]}, split)
    assert alike.contract is not None
    for number in range(50):
        sent = json.dumps({"rows": [row], "entity": f"k{number}" if number % 2 else None}).encode()
        assert alike.choose(sent, alike.contract.decode(sent)) == alike.choose(sent)
    ignoring = load(tiny(version=3).lane, "ignore")
    assert Live(1, {"champion": lanes["champion"], "challenger": ignoring}, split).contract is None


def test_a_full_share_and_a_shadow(lanes: dict[str, Lane]) -> None:
    """With a share of one the challenger answers all; a shadow never answers."""
    both = {"champion": lanes["champion"], "challenger": lanes["other"], "shadow": lanes["other"]}
    everyone = Live(1, both, Split(mode="canary", share=1, salt="s"))
    shadowed = Live(1, both, Split(mode="shadow", share=1, salt="s"))
    for number in range(50):
        assert everyone.choose(body(str(number)))[0] == "challenger"  # type: ignore[index]  # there is a champion
        assert shadowed.choose(body(str(number)))[0] == "champion"  # type: ignore[index]  # as above


def test_a_probe_gets_the_lane_that_it_names(lanes: dict[str, Lane]) -> None:
    """No split keeps a question from the lane that it is meant for, and a lane that is not live answers nothing."""
    live = Live(
        1, {"champion": lanes["champion"], "challenger": lanes["other"]}, Split(mode="canary", share=1, salt="s")
    )
    assert live.named("champion") == ("champion", lanes["champion"])
    assert live.named("challenger") == ("challenger", lanes["other"])
    assert live.named("shadow") is None


@given(st.text(), st.binary())
def test_positions_lie_in_the_unit_interval(salt: str, key: bytes) -> None:
    """Every key has a position from 0 up to, never at, 1."""
    assert 0 <= position(salt.encode("ascii", "replace").decode(), key) < 1


def test_salts_make_experiments_independent() -> None:
    """Who is in the one half under one salt says nothing about another salt."""
    keys = [str(number).encode() for number in range(4000)]
    both = sum(position("a", key) < 0.5 and position("b", key) < 0.5 for key in keys)
    assert 0.22 < both / 4000 < 0.28


async def counted(release: str, rows: int) -> None:
    """Wait until the shadow lane has scored so many rows."""
    while metrics.SHADOW_ROWS.labels(release)._value.get() < rows:  # noqa: ASYNC110 (a metric cannot be awaited)
        await asyncio.sleep(0.01)


def test_the_shadow_counts_how_far_it_is_off(lanes: dict[str, Lane], row: dict[str, Any]) -> None:
    """The shadow lane scores off the caller's path, survives its own failures, and drops when it cannot keep up."""
    request = json.dumps({"rows": [row]}).encode()
    lane = lanes["other"]
    answered = lanes["champion"].engine.predict(lanes["champion"].codec.decode(request).columns)

    told: list[Noted] = []
    asked = lanes["champion"].codec.decode(request)
    noted = Noted(
        "champion", lanes["champion"], asked.columns, answered, None, "r1", 7.0, 0.1, len(request), sampled=True
    )

    async def unchanged(_: Signature, body: bytes) -> bytes:
        return body

    async def scenario() -> None:
        shadow = Shadow(told.append, unchanged)
        shadow.offer(lane, noted, b" " * 2**20)
        for _ in range(99):
            shadow.offer(lane, noted, request)
        shadow_task = asyncio.create_task(shadow.run())
        await counted(lane.release, 64)
        shadow.offer(lane, noted, b"no request")
        shadow.offer(lane, noted, request)
        await counted(lane.release, 65)
        shadow_task.cancel()

    dropped = metrics.SHADOW_DROPPED._value.get()
    asyncio.run(scenario())
    assert metrics.SHADOW_DROPPED._value.get() - dropped == 36
    own = lane.engine.predict(lane.codec.decode(request).columns)
    difference = metrics.SHADOW_DIFFERENCE.labels(lane.release)._value.get()
    np.testing.assert_allclose(difference, 65 * abs(own - answered).max(), rtol=1e-5)
    differ = decisions(lane.codec.signature, own) != decisions(lane.codec.signature, answered)
    assert metrics.SHADOW_DISAGREEMENTS.labels(lane.release)._value.get() == 65 * differ.sum()
    assert {(each.name, each.lane.release, each.request, each.at_s) for each in told} == {
        ("shadow", lane.release, "r1", 7.0)
    }
    np.testing.assert_array_equal(told[0].values, own)
