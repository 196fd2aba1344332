# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""What is explained is what is refused: the same rules, line by line, and when waiting will do."""

from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops.errors import NotFoundError
from towpath_gitops.promotion.explanation import Explanation, explain
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.promotion.requirement import Standing
from towpath_gitops.records.evidence import Verdict


@pytest.fixture
def world(served_world: Any) -> Any:
    """The first release ran everywhere, the second runs, a third waits."""
    return served_world


def _explain(world: Any, environment: str = "production", **options: Any) -> Explanation:
    return explain(world.desk(), environment, world.store.releases()[2], now=world.now, **options)


def _standing(found: Explanation) -> dict[str, str]:
    return {line.rule: line.standing.value for line in found.requirements}


def _open(found: Explanation) -> set[str]:
    return {line.rule for line in found.requirements if line.standing is not Standing.MET}


def test_every_line_says_whether_it_is_met(world: Any) -> None:
    """Ready for staging: each requirement is named with what meets it, approvals with those who may give them."""
    found = _explain(world, "staging")
    assert (found.eligible, found.eligible_at, _open(found)) == (True, world.now, set())
    assert _standing(found).keys() == {"compare_and_swap", "blocked", "evidence", "champion", "approvals"}
    told = "\n".join(line.what for line in found.requirements)
    assert "The evaluation evidence is green, and good until 2026-06-08 11:00 UTC" in told
    assert "needs 1 approval by owners of gitops/environments/staging/flights.yaml" in told
    assert "grace@example.org" in told


def test_what_is_explained_is_what_review_refuses(world: Any) -> None:
    """The open lines are the rules by which the proposal is refused, but for the approvals."""
    world.record("staging", world.store.releases()[2], Verdict.FAIL)
    found = _explain(world)
    assert _open(found) == {"upstream_verified"}
    pull = world.promote(world.store.releases()[2], "production")
    assert world.rules(pull) == _open(found) | {"approvals"}
    assert (_explain(world).pull, found.pull) == (pull.number, None)


def test_whoever_wrote_the_proposal_is_not_among_those_who_could_approve_it(world: Any) -> None:
    """Before it is open each owner could; then its author cannot, and two approvals of two owners cannot be had."""
    world.policy("approvals: 1}", "approvals: 2}")
    assert "approvals" not in _open(_explain(world, "staging"))
    world.promote(world.store.releases()[2])
    found = _explain(world, "staging")
    assert (_open(found), found.eligible_at) == ({"approvals"}, None)
    assert "names only grace@example.org who could" in found.requirements[-1].what


def test_waiting_is_told_with_its_end(world: Any) -> None:
    """Half soaked and frozen: the later of both ends, and from that moment on it is eligible."""
    world.declare("staging", world.store.releases()[2])
    world.record("staging", world.store.releases()[2], ago=timedelta(minutes=46))
    found = _explain(world)
    assert (_open(found), found.eligible) == ({"soak"}, False)
    assert found.eligible_at == world.now + timedelta(minutes=14)
    frozen = "freeze: [{name: quarter end, timezone: UTC, from: 2026-05-30, until: 2026-06-01T15:00}]"
    world.policy("name: production,", f"name: production, {frozen},")
    found = _explain(world)
    assert _open(found) == {"soak", "freeze"}
    assert found.eligible_at == world.now + timedelta(hours=3)
    world.now += timedelta(hours=3)
    assert _explain(world).eligible


def test_what_waiting_cannot_mend_has_no_end(world: Any) -> None:
    """A freeze that outlives the evidence: by then something else is missing."""
    frozen = "freeze: [{name: summer, timezone: UTC, from: 2026-05-30, until: 2026-09-01}]"
    world.policy("name: staging,", f"name: staging, {frozen},")
    found = _explain(world, "staging")
    assert (_standing(found)["freeze"], found.eligible_at) == ("waiting", None)


def test_a_hotfix_is_explained_by_its_own_lane(world: Any) -> None:
    """Without a lane it says so; with one nothing of staging is asked, but more owners than there are."""
    assert _open(_explain(world, hotfix=True)) == {"hotfix"}
    world.policy("rollback:", "hotfix: {approvals: 3}\nrollback:")
    found = _explain(world, hotfix=True)
    assert _open(found) == {"approvals"}
    assert "names only ada@example.org, grace@example.org" in found.requirements[-1].what
    assert "upstream_verified" not in _standing(found)


def test_what_goes_first_is_named(world: Any) -> None:
    """An open rollback stands before every promotion."""
    options = {"environment": "staging", "model": "flights", "reason": "late", "now": world.now}
    back = propose_rollback(world.desk(), **options)
    found = _explain(world, "staging")
    assert (_open(found), found.eligible_at) == ({"one_open"}, None)
    assert f"#{back.number}" in found.requirements[-2].what


def test_what_is_declared_already_is_said(world: Any) -> None:
    """There is nothing to change, and it is no error to ask."""
    found = explain(world.desk(), "staging", world.store.releases()[1], now=world.now)
    assert "declared" in _open(found)
    with pytest.raises(NotFoundError, match="staging, production"):
        _explain(world, "qa")


def test_an_explanation_is_a_record(world: Any) -> None:
    """It goes to a machine as JSON and comes back."""
    found = _explain(world)
    assert Explanation.model_validate_json(found.model_dump_json()) == found
