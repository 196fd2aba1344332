# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Whose yes counts: owners of that very path on main, who did not write a line of it, on the head commit."""

from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.promotion.review import review

STAGING = layout.environment_path("staging", "flights")
PRODUCTION = layout.environment_path("production", "flights")


@pytest.mark.parametrize(("who", "why"), [("ada", "wrote it"), ("mallory", "does not own")])
def test_the_author_and_strangers_do_not_count(world: Any, who: str, why: str) -> None:
    """Ada is an owner but wrote it; Mallory did not write it but owns nothing."""
    pull = world.promote(world.register(1))
    world.desk(who).forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert [reason.rule for reason in verdict.reasons] == ["approvals"]
    assert f"{who}@example.org ({why}" in str(verdict)


def test_an_approval_forged_in_anothers_name_does_not_count(world: Any) -> None:
    """A commit that names Grace as its author but was committed by Ada is no approval by Grace."""
    pull = world.promote(world.register(1))
    desk = world.desk()
    forger = desk.repository.acting_as("Ada", "ada@example.org")
    forger.environment["GIT_AUTHOR_EMAIL"] = "grace@example.org"
    type(desk.forge)(forger, lambda: world.now).approve(pull.number)
    verdict = review(desk, pull.number, now=world.now)
    assert [reason.rule for reason in verdict.reasons] == ["approvals"]
    assert "written down by ada@example.org" in str(verdict)
    world.desk("grace").forge.approve(pull.number)
    assert review(desk, pull.number, now=world.now).ok, "a forgery does not stand in the way of the real one"


def test_an_approval_counts_only_while_the_head_is_the_same(world: Any) -> None:
    """A commit after the approval takes it away."""
    pull = world.promote(world.register(1))
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == set()
    world.amend(pull, {STAGING: lambda text: text.replace("retrain", "something else")})
    assert world.rules(pull) == {"approvals"}
    assert "approved an earlier commit" in str(review(world.desk(), pull.number, now=world.now))
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == set()


def test_whoever_added_a_commit_is_an_author_too(world: Any) -> None:
    """Grace cannot approve a branch that she pushed to, though Ada opened it."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace("retrain", "a better reason")}, who="grace")
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == {"approvals"}


def test_owners_are_those_of_main_not_of_the_branch(world: Any) -> None:
    """A branch that makes Mallory an owner is refused for touching the file, and her approval does not count."""
    pull = world.promote(world.register(1))
    world.amend(pull, {layout.CODEOWNERS: "/gitops/ mallory@example.org\n"})
    world.desk("mallory").forge.approve(pull.number)
    assert world.rules(pull) == {"scope", "approvals"}


def test_a_path_without_owners_cannot_be_approved(world: Any) -> None:
    """No CODEOWNERS: the reason says where to add one."""
    world.push({layout.CODEOWNERS: None})
    pull = world.promote(world.register(1))
    world.desk("grace").forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert "names nobody" in str(verdict)


@pytest.mark.parametrize(("needed", "ok"), [(0, True), (1, True), (2, False)])
def test_the_policy_says_how_many(world: Any, needed: int, ok: bool) -> None:  # noqa: FBT001 (parametrized)
    """None needed, one needed and given, two needed and one given; approving twice is approving once."""
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    world.push({layout.POLICY: policy.replace("approvals: 1", f"approvals: {needed}")})
    pull = world.promote(world.register(1))
    if needed:
        world.desk("grace").forge.approve(pull.number)
        world.desk("grace").forge.approve(pull.number)
    assert review(world.desk(), pull.number, now=world.now).ok is ok
