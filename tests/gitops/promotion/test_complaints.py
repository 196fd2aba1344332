# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""The loudest complaints about promotion by pull request elsewhere, each tried here with real parts, and impossible."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import State
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.evidence import Kind, Verdict


@pytest.fixture
def world(served_world: Any) -> Any:
    """The first release ran everywhere, the second runs, a third waits."""
    return served_world


def _roll_back(world: Any, environment: str = "staging") -> Any:
    return propose_rollback(
        world.desk("grace"), environment=environment, model="flights", reason="it does harm", now=world.now
    )


def _automation(world: Any, pull: Any) -> None:
    """Do what a robot with every approval would: approve as whoever owns it, and try to merge, again and again."""
    world.desk("grace").forge.approve(pull.number)
    world.desk("ada").forge.approve(pull.number)
    for _ in range(3):
        with pytest.raises(RefusedError):
            merge_reviewed(world.desk(), pull.number, now=world.now)


def test_automation_undoes_a_rollback(world: Any) -> None:
    """It cannot: not while the rollback waits to be merged, not after it, not with the promotion from before."""
    first, second, third = world.store.releases()
    old = world.promote(third)
    back = _roll_back(world)
    _automation(world, old)  # it was there first, and waits all the same
    world.desk("ada").forge.approve(back.number)
    merge_reviewed(world.desk("grace"), back.number, now=world.now)
    assert world.declared("staging") == first
    assert world.desk().forge.get(old.number).state is State.CLOSED
    world.store.publish(second, world.evidence(second, Kind.COMPARISON, champion=second.id))
    again = world.promote(second)  # the nightly job proposes the newest green release: the bad one
    _automation(world, again)
    assert world.rules(again) == {"blocked"}
    assert world.declared("staging") == first


def test_a_failed_re_verification_does_not_revoke(world: Any) -> None:
    """It does: a release that turns red upstream after its approval is out until it is green and has soaked again."""
    second, third = world.store.releases()[1:]
    world.declare("staging", third)
    world.record("staging", third)
    pull = world.promote(third, "production")
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == set()
    world.record("staging", third, Verdict.FAIL, ago=timedelta(minutes=5), applied=False)
    assert world.rules(pull) == {"upstream_verified"}
    world.record("staging", third, ago=timedelta(minutes=1), applied=False)
    assert world.rules(pull) == {"soak"}, "green again is not yet healthy for an hour"
    with pytest.raises(RefusedError, match="may not be merged"):
        merge_reviewed(world.desk(), pull.number, now=world.now)
    assert world.declared("production") == second
    world.now += timedelta(hours=1)
    assert world.rules(pull) == set()


def test_a_freeze_blocks_a_rollback(world: Any) -> None:
    """It never does, however many freezes hold; the promotion beside it waits."""
    freezes = "freeze: [{name: for ever, timezone: UTC, cron: '* * * * *', lasts: 1d}]"
    world.policy("name: production,", f"name: production, {freezes},")
    world.record("staging", world.store.releases()[2])
    assert "freeze" in world.rules(world.promote(world.store.releases()[2], "production"))
    back = _roll_back(world, "production")
    world.desk("ada").forge.approve(back.number)
    assert review(world.desk(), back.number, now=world.now).ok
    merge_reviewed(world.desk(), back.number, now=world.now)
    assert world.declared("production") == world.store.releases()[0]


def test_superseded_promotions_pile_up(world: Any) -> None:
    """They do not: of many proposals in a row one is open, the others name it; a merge leaves none behind."""
    releases = [world.store.releases()[2], *(world.register(version) for version in (4, 5, 6))]
    for release in releases:
        champion = world.store.releases()[1].id
        world.store.publish(release, world.evidence(release, Kind.COMPARISON, champion=champion))
    pulls = [world.promote(release) for release in releases]
    forge = world.desk().forge
    assert [pull.number for pull in forge.list(State.OPEN)] == [pulls[-1].number]
    for pull, newer in pairwise(pulls):
        assert f"Superseded by #{newer.number}" in forge.get(pull.number).comments[-1].text
    world.merge(pulls[-1])
    assert forge.list(State.OPEN) == []
    assert world.ada.tips("refs/heads/towpath/promote/") == {}
