# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""The ways a change can take: forward, around, and back; what each asks for, and what stops it."""

from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import State
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.decision import Decision
from towpath_gitops.promotion.proposal import (
    propose_experiment,
    propose_experiment_stop,
    propose_hold,
    propose_repackage,
    propose_rollback,
    propose_unhold,
)
from towpath_gitops.promotion.review import review
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Kind, Verdict

IMAGE = f"ghcr.io/acme/flights@{digest_of('image')}"
# The moment of these tests is Monday, 1 June 2026, noon in UTC.
FREEZE = "freeze: [{name: quarter end, timezone: Europe/Berlin, from: 2026-05-30, until: 2026-06-02}]"


@pytest.fixture
def world(served_world: Any) -> Any:
    """Staging and production ran the first release and run the second; a third is ready for staging."""
    return served_world


@pytest.fixture
def served(world: Any) -> Any:
    """The three releases."""
    return world.store.releases()


def _freeze(world: Any, environment: str = "staging") -> None:
    world.policy(f"name: {environment},", f"name: {environment}, {FREEZE},")


def _options(world: Any, environment: str = "staging", **more: Any) -> dict[str, Any]:
    return {"environment": environment, "reason": "because", "now": world.now} | more


def _deployment(world: Any, environment: str = "staging") -> Any:
    world.ada.fetch()
    return declared.deployment(world.ada, world.ada.main(), environment, "flights")


def _try(world: Any, challenger: Any, environment: str = "staging", **more: Any) -> Any:
    options = {"mode": "ab", "share": 0.1} | _options(world, environment) | more
    return propose_experiment(world.desk(), challenger=challenger, **options)


def _roll_back(world: Any, environment: str = "staging") -> Any:
    return propose_rollback(world.desk(), model="flights", **_options(world, environment))


# --- freezes ------------------------------------------------------------------------------------------------------


def test_a_freeze_stops_what_goes_forward(world: Any, served: Any) -> None:
    """A promotion, an experiment and a repackaging wait; the promotion passes again when it has thawed."""
    _freeze(world)
    _, _, third = served
    promotion = world.promote(third)
    assert world.rules(promotion) == {"freeze", "approvals"}
    assert world.rules(_try(world, third)) == {"freeze", "approvals"}
    image = propose_repackage(world.desk(), model="flights", image=IMAGE, **_options(world))
    assert world.rules(image) == {"freeze", "approvals"}
    world.now += timedelta(days=1)
    assert world.rules(promotion) == {"approvals"}


def test_a_freeze_never_stops_what_leads_back(world: Any, served: Any) -> None:
    """A rollback, a hold, a lifted hold and the end of an experiment need their approvals and nothing else."""
    first, _, third = served
    world.merge(_try(world, third))
    _freeze(world)
    assert world.rules(_roll_back(world)) == {"approvals"}
    assert world.rules(propose_hold(world.desk(), release=first, **_options(world))) == {"approvals"}
    stop = propose_experiment_stop(world.desk(), model="flights", **_options(world))
    assert world.rules(stop) == {"approvals"}
    world.merge(propose_hold(world.desk(), release=first, **_options(world)))
    assert world.rules(propose_unhold(world.desk(), release=first, **_options(world))) == {"approvals"}


@pytest.mark.parametrize(("lane", "rules"), [("{}", {"freeze"}), ("{frozen: false}", set())])
def test_a_freeze_stops_a_hotfix_unless_its_lane_says_otherwise(
    world: Any, served: Any, lane: str, rules: set[str]
) -> None:
    """The platform team decides, in the policy and beforehand."""
    _freeze(world, "production")
    world.policy("rollback:", f"hotfix: {lane}\nrollback:")
    pull = world.promote(served[2], "production", hotfix=True)
    assert world.rules(pull) == rules | {"approvals"}


# --- hotfixes -----------------------------------------------------------------------------------------------------


def test_a_hotfix_goes_around_staging_with_two_owners_who_did_not_write_it(world: Any, served: Any) -> None:
    """It skips what staging would have shown, and nothing else; one approval is not enough; it stays flagged."""
    world.policy("rollback:", "hotfix: {approvals: 2}\nrollback:")
    world.push({layout.CODEOWNERS: "/gitops/ grace@example.org linus@example.org ada@example.org\n"})
    third = served[2]
    with pytest.raises(RefusedError, match="a fact is missing"):
        world.promote(third, "production")
    pull = world.promote(third, "production", hotfix=True)
    assert (pull.title[:7], "**⚠️ Hotfix.**" in pull.body) == ("HOTFIX:", True)
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == {"approvals"}
    world.desk("ada").forge.approve(pull.number)
    assert world.rules(pull) == {"approvals"}, "its author is no second person"
    world.desk("linus").forge.approve(pull.number)
    assert world.rules(pull) == set()
    world.merge(pull)
    assert _deployment(world, "production").change.type is ChangeType.HOTFIX


def test_a_hotfix_still_needs_its_evidence(world: Any, served: Any) -> None:
    """Red stays red, blocked stays blocked, and without evidence nobody could decide."""
    world.policy("rollback:", "hotfix: {}\nrollback:")
    third = served[2]
    red = world.evidence(third).findings[0].model_copy(update={"verdict": Verdict.FAIL})
    world.store.publish(third, world.evidence(third, findings=(red,)))
    world.merge(propose_hold(world.desk(), release=third, **_options(world, "production")))
    pull = world.promote(third, "production", hotfix=True)
    assert {"evidence_verdict", "blocked"} <= world.rules(pull)
    for path in (world.store.root / "3").glob("evidence-evaluation.json"):
        path.unlink()
    with pytest.raises(RefusedError, match="a fact is missing"):
        world.promote(third, "production", hotfix=True)


def test_without_a_lane_there_is_no_way_around(world: Any, served: Any) -> None:
    """A policy that does not speak of hotfixes has none, and asks for two approvals all the same."""
    pull = world.promote(served[2], "production", hotfix=True)
    assert world.rules(pull) == {"hotfix", "approvals"}
    assert "0 of 2 approvals" in str(review(world.desk(), pull.number, now=world.now))


def test_a_hotfix_never_needs_fewer_approvals_than_a_promotion(world: Any, served: Any) -> None:
    """Where production asks for three, so does its hotfix."""
    world.policy("rollback:", "hotfix: {approvals: 2}\nrollback:")
    world.policy("approvals: 1, soak", "approvals: 3, soak")
    pull = world.promote(served[2], "production", hotfix=True)
    assert "0 of 3 approvals" in str(review(world.desk(), pull.number, now=world.now))


# --- holds --------------------------------------------------------------------------------------------------------


def test_a_hold_keeps_a_release_out_and_lifting_it_lets_it_in(world: Any, served: Any) -> None:
    """What serves goes on serving; the file says who, why and since when."""
    _, second, third = served
    pull = propose_hold(world.desk(), release=third, **_options(world))
    assert pull.title == f"Keep flights {third.short_id} out of staging"
    world.merge(pull)
    held = _deployment(world)
    assert (held.declared, held.blocked, held.hold.by) == (second, (third.id,), "ada@example.org")
    assert (held.change.type, held.change.replaces) == (ChangeType.HOLD, second.id)
    assert "blocked" in world.rules(world.promote(third))
    world.merge(propose_unhold(world.desk(), release=third, **_options(world)))
    assert (_deployment(world).hold, world.rules(world.promote(third))) == (None, {"approvals"})


def test_a_hold_takes_the_lane_back_and_lifting_one_the_lane_forward(world: Any, served: Any) -> None:
    """No approval to be careful where rollbacks need none; as many as a promotion to stop being careful."""
    world.policy("rollback: {approvals: 1}", "rollback: {approvals: 0}")
    hold = propose_hold(world.desk(), release=served[2], **_options(world))
    assert world.rules(hold) == set()
    world.merge(hold)
    assert world.rules(propose_unhold(world.desk(), release=served[2], **_options(world))) == {"approvals"}


def test_a_hold_proposed_again_later_is_the_same_proposal(world: Any, served: Any) -> None:
    """Its moment is that of the first, so that approvals stand."""
    first = propose_hold(world.desk(), release=served[2], **_options(world))
    world.now += timedelta(minutes=5)
    assert propose_hold(world.desk(), release=served[2], **_options(world)).head == first.head


def test_lifting_one_hold_leaves_the_others(world: Any, served: Any) -> None:
    """Of two blocked releases one is let in again; the words about the other stay as they were."""
    first, _, third = served
    for release in (first, third):
        world.merge(propose_hold(world.desk(), release=release, **_options(world)))
    world.merge(propose_unhold(world.desk(), release=first, **_options(world)))
    assert _deployment(world).blocked == (third.id,)


def test_what_makes_no_sense_is_not_proposed(world: Any, served: Any) -> None:
    """Holding what serves or is held, lifting what is not, stopping nothing, an image that is the same or a tag."""
    _, second, third = served
    with pytest.raises(RefusedError, match="serves in staging"):
        propose_hold(world.desk(), release=second, **_options(world))
    with pytest.raises(RefusedError, match="not blocked"):
        propose_unhold(world.desk(), release=third, **_options(world))
    with pytest.raises(RefusedError, match="no experiment"):
        propose_experiment_stop(world.desk(), model="flights", **_options(world))
    with pytest.raises(RefusedError, match="champion of staging itself"):
        _try(world, second)
    with pytest.raises(InvalidFileError, match="not a share"):
        _try(world, third, share=1.0)
    with pytest.raises(InvalidFileError, match="pinned by digest"):
        propose_repackage(world.desk(), model="flights", image="ghcr.io/acme/flights:latest", **_options(world))
    with pytest.raises(NotFoundError, match="staging, production"):
        propose_hold(world.desk(), release=third, **_options(world, "qa"))
    world.merge(propose_hold(world.desk(), release=third, **_options(world)))
    with pytest.raises(RefusedError, match="already"):
        propose_hold(world.desk(), release=third, **_options(world))


# --- experiments --------------------------------------------------------------------------------------------------


def test_an_experiment_starts_changes_and_stops_by_pull_request(world: Any, served: Any) -> None:
    """The release stays; the challenger's evidence comes along; a new share is another proposal of the same kind."""
    _, second, third = served
    pull = _try(world, third)
    evidence = [layout.evidence_path(third.short_id, kind) for kind in ("comparison", "evaluation")]
    assert set(evidence) < set(world.ada.changed(world.ada.main(), pull.head))
    assert Decision.model_validate_json(pull.data).summary.startswith("In staging flights 1.3.0")
    world.merge(pull)
    running = _deployment(world)
    assert (running.declared, running.experiment.challenger.id, running.experiment.share) == (second, third.id, 0.1)
    assert (running.change.type, running.change.replaces) == (ChangeType.EXPERIMENT, second.id)
    world.merge(_try(world, third, share=0.5, mode="canary"))
    assert _deployment(world).experiment.share == 0.5
    world.merge(propose_experiment_stop(world.desk(), model="flights", **_options(world)))
    assert (_deployment(world).experiment, _deployment(world).declared) == (None, second)


@pytest.mark.parametrize("back", [True, False])
def test_a_promotion_or_rollback_ends_an_experiment(world: Any, served: Any, back: bool) -> None:  # noqa: FBT001 (parametrized)
    """Its champion is replaced: what was compared is no more."""
    world.merge(_try(world, served[2]))
    world.merge(_roll_back(world) if back else world.promote(served[2]))
    assert _deployment(world).experiment is None


def test_a_challenger_must_be_eligible(world: Any, served: Any) -> None:
    """Red evidence, a hold, no verification upstream: as for a promotion, because real requests reach it."""
    third = served[2]
    world.record("staging", third, Verdict.FAIL, applied=False)
    assert world.rules(_try(world, third, "production")) == {"upstream_verified", "approvals"}
    world.merge(propose_hold(world.desk(), release=third, **_options(world)))
    assert world.rules(_try(world, third)) == {"blocked", "approvals"}
    red = world.evidence(third).findings[0].model_copy(update={"verdict": Verdict.FAIL})
    world.store.publish(third, world.evidence(third, findings=(red,)))
    assert world.rules(_try(world, third)) == {"blocked", "evidence_verdict", "approvals"}


def test_a_challenger_that_callers_would_break_is_refused(world: Any, served: Any) -> None:
    """Requests are made for the champion: it must take what they hold."""
    inputs = [{"name": "carrier", "type": "string"}, {"name": "origin", "type": "string"}]
    signature = {"task": "binary", "target": "late", "classes": ["false", "true"], "inputs": inputs}
    other = world.register(4, signature=signature)
    world.store.publish(other, world.evidence(other, Kind.COMPARISON, champion=served[1].id))
    pull = _try(world, other)
    assert world.rules(pull) == {"signature", "approvals"}
    assert "needs the column “origin”" in str(review(world.desk(), pull.number, now=world.now))


def test_the_end_of_an_experiment_takes_the_lane_back(world: Any, served: Any) -> None:
    """No approval where rollbacks need none."""
    world.merge(_try(world, served[2]))
    world.policy("rollback: {approvals: 1}", "rollback: {approvals: 0}")
    assert world.rules(propose_experiment_stop(world.desk(), model="flights", **_options(world))) == set()


# --- repackaging --------------------------------------------------------------------------------------------------


def test_a_repackaging_changes_the_image_and_nothing_else(world: Any) -> None:
    """The release keeps its id: the model is the same to the byte."""
    before = _deployment(world)
    world.merge(propose_repackage(world.desk(), model="flights", image=IMAGE, **_options(world)))
    after = _deployment(world)
    assert (after.release.image, after.release.id, after.change.type) == (
        IMAGE,
        before.release.id,
        ChangeType.REPACKAGE,
    )
    with pytest.raises(RefusedError, match="image already"):
        propose_repackage(world.desk(), model="flights", image=IMAGE, **_options(world))


# --- one at a time ------------------------------------------------------------------------------------------------


def test_a_promotion_waits_for_an_open_rollback_and_not_the_other_way(world: Any, served: Any) -> None:
    """Whichever was opened first: nothing slips in between a rollback and its merge."""
    back = _roll_back(world)
    forward = world.promote(served[2])
    assert world.rules(forward) == {"one_open", "approvals"}
    assert world.rules(_try(world, served[2])) == {"one_open", "approvals"}
    assert world.rules(back) == {"approvals"}
    world.merge(back)
    assert world.desk().forge.get(forward.number).state is State.CLOSED


def test_a_promotion_waits_for_an_open_hotfix_which_it_does_not_close(world: Any, served: Any) -> None:
    """The nightly proposal of a robot does not sweep away what people hurry to approve."""
    world.policy("rollback:", "hotfix: {}\nrollback:")
    hotfix = world.promote(served[2], "production", hotfix=True)
    nightly = world.promote(served[0], "production")
    assert world.desk().forge.get(hotfix.number).state is State.OPEN
    assert "one_open" in world.rules(nightly)
    assert "one_open" not in world.rules(hotfix)


def test_of_two_open_promotions_only_the_newer_may_be_merged(world: Any, served: Any) -> None:
    """Even when neither closed the other, as when two people propose at the same moment."""
    older = world.promote(served[2])
    repository, main = world.ada, world.ada.main()
    branch = f"towpath/promote/staging/flights/{'0' * 12}"
    repository.push(repository.commit([main], main, {"x": b""}, "Twin"), f"refs/heads/{branch}", None)
    newer = world.desk().forge.open(branch=branch, title="Twin", body="", data="")
    assert world.rules(older) == {"one_open", "approvals"}
    world.desk().forge.close(newer.number, "No.")
    assert world.rules(older) == {"approvals"}


def test_a_hold_that_is_merged_leaves_an_open_rollback_open(world: Any, served: Any) -> None:
    """It conflicts, says so, and is renewed in place when it is proposed again: it does not go unnoticed."""
    back = _roll_back(world)
    world.merge(propose_hold(world.desk(), release=served[2], **_options(world)))
    assert (world.desk().forge.get(back.number).state, world.rules(back)) == (State.OPEN, {"conflict"})
    again = _roll_back(world)
    assert (again.number, world.rules(again)) == (back.number, {"approvals"})
    world.merge(again)
    assert set(_deployment(world).blocked) == {served[1].id, served[2].id}
