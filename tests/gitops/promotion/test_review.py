# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Review as a whole: what is sound passes, what is stale does not, and what is merged is what was reviewed."""

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, NotFoundError, RefusedError, UncleanRepositoryError
from towpath_gitops.forges.base import State
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.promotion.review import Review, merge_reviewed, review
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.repository import Repository

STAGING = layout.environment_path("staging", "flights")
PRODUCTION = layout.environment_path("production", "flights")


def test_a_sound_promotion_passes_once_an_owner_approves(world: Any) -> None:
    """Refused before the approval by the approvals rule alone, merged after it, with testimony in the trailers."""
    release = world.register(1)
    pull = world.promote(release)
    before = review(world.desk(), pull.number, now=world.now)
    assert [reason.rule for reason in before.reasons] == ["approvals"]
    assert "towpath approve 1" in str(before)
    assert "grace@example.org" in str(before)
    with pytest.raises(RefusedError, match="0 of 1 approvals"):
        merge_reviewed(world.desk(), pull.number, now=world.now)
    assert world.declared("staging") is None
    world.desk("grace").forge.approve(pull.number)
    after = review(world.desk(), pull.number, now=world.now)
    assert (after.ok, after.approved_by) == (True, ("grace@example.org",))
    assert "may be merged, approved by grace@example.org" in str(after)
    merged = merge_reviewed(world.desk(), pull.number, now=world.now)
    assert (merged.state, world.declared("staging")) == (State.MERGED, release)
    info = world.ada.info(world.ada.main())
    assert (info.trailers("Towpath-Pull"), info.trailers("Approved-by")) == (("1",), ("grace@example.org",))
    assert "# The owner's own words." in world.ada.read(world.ada.main(), STAGING)


def test_looking_needs_no_identity(world: Any) -> None:
    """A machine that only checks pull requests has no name of its own, and judges them all the same."""
    pull = world.promote(world.register(1))
    nobody = Repository(world.ada.root)
    with pytest.raises(UncleanRepositoryError):
        nobody.identity()
    found = review(replace(world.desk(), repository=nobody), pull.number, now=world.now)
    assert [reason.rule for reason in found.reasons] == ["approvals"]


def test_merging_twice_is_merging_once(world: Any) -> None:
    """A second merge finds the first and changes nothing."""
    pull = world.promote(world.register(1))
    first = world.merge(pull)
    main = world.ada.main()
    assert merge_reviewed(world.desk(), pull.number, now=world.now).merged == first.merged
    assert world.ada.main() == main


def test_a_pull_request_that_does_not_exist_is_not_found(world: Any) -> None:
    """An unknown number is an error, not a refusal."""
    with pytest.raises(NotFoundError, match="#9"):
        review(world.desk(), 9, now=world.now)


def test_a_settled_pull_request_cannot_be_merged(world: Any) -> None:
    """Closed means closed."""
    pull = world.promote(world.register(1))
    world.desk().forge.close(pull.number, "No.")
    assert world.rules(pull) == {"state"}


# --- freshness ----------------------------------------------------------------------------------------------------


def test_main_that_moved_elsewhere_does_not_matter(world: Any) -> None:
    """A commit to other files leaves a proposal sound."""
    pull = world.promote(world.register(1))
    world.push({"README.md": "more\n"})
    world.merge(pull)
    assert "more\n" in world.ada.read(world.ada.main(), "README.md")


def test_a_proposal_is_stale_when_the_environment_file_moved(world: Any) -> None:
    """Even an edit of the owner's own fields makes it a conflict: nobody reviewed the blend."""
    pull = world.promote(world.register(1))
    world.push({STAGING: world.ada.read(world.ada.main(), STAGING).replace("workers: 1", "workers: 2")})
    assert world.rules(pull) == {"conflict"}


def test_a_change_must_state_what_it_replaces(world: Any) -> None:
    """Compare-and-swap: `from` is what main declares, not what it once did."""
    first, second = world.register(1), world.register(2)
    world.merge(world.promote(first))
    pull = world.promote(second)
    assert "compare_and_swap" not in world.rules(pull)
    world.amend(pull, {STAGING: lambda text: text.replace(f"from: {first.id}", "from: null")})
    assert "compare_and_swap" in world.rules(pull)


def test_evidence_that_was_edited_after_the_proposal_is_refused(world: Any) -> None:
    """The change names the digest of the whole bundle."""
    release = world.register(1)
    pull = world.promote(release)
    path = layout.evidence_path(release.short_id, "evaluation")
    world.amend(pull, {path: lambda text: text.replace("0.71", "0.99")})
    assert world.rules(pull) == {"evidence_digest", "provenance", "approvals"}


def test_evidence_that_was_renewed_after_the_proposal_must_be_proposed_again(world: Any) -> None:
    """What the registry holds now counts, be it better or worse than what was proposed."""
    release = world.register(1)
    pull = world.promote(release)
    assert world.rules(pull) == {"approvals"}
    worse = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.FAIL, message="It is 0.51")
    world.store.publish(release, world.evidence(release, findings=(worse,)))
    assert world.rules(pull) == {"provenance", "approvals"}


def test_a_verification_that_was_renewed_meanwhile_holds_nobody_up(world: Any) -> None:
    """Every reconcile upstream renews it; the ledger says whether it is green, unless the policy wants the file."""
    release = world.register(1)
    world.store.publish(release, world.evidence(release, Kind.VERIFICATION))
    pull = world.promote(release)
    world.store.publish(release, world.evidence(release, Kind.VERIFICATION, created=world.now))
    assert world.rules(pull) == {"approvals"}


def test_a_release_that_nobody_registered_is_refused(world: Any) -> None:
    """Its fields and its id may agree with each other: anybody can compute a digest."""
    release = world.register(1)
    pull = world.promote(release)
    shutil.rmtree(world.store.folder(release).parent)
    assert "provenance" in world.rules(pull)


def test_removed_evidence_is_refused_twice(world: Any) -> None:
    """It rides along as a deletion, and what is missing is never a pass."""
    release = world.register(1)
    pull = world.promote(release)
    world.amend(pull, {layout.evidence_path(release.short_id, "evaluation"): None})
    assert {"evidence_missing", "evidence_digest"} <= world.rules(pull)


@pytest.mark.parametrize("name", ["differences.svg", "flips.svg", "reliability.svg"])
@pytest.mark.parametrize("touch", [None, lambda text: text.replace("JFK", "none").replace("ROC", "AUC") + " "])
def test_a_picture_that_was_touched_up_is_refused(world: Any, compared: Any, name: str, touch: Any) -> None:
    """Changed by a byte or taken away, the picture is not what the evidence gives, whoever approves it."""
    release = world.register(1)
    world.store.publish(release, world.evidence(release, Kind.COMPARISON, details=compared.plain()))
    pull = world.promote(release)
    world.amend(pull, {layout.picture_path(release.short_id, name): touch})
    world.desk("grace").forge.approve(pull.number)
    reasons = review(world.desk(), pull.number, now=world.now).reasons
    assert {reason.rule for reason in reasons} >= {"pictures"}
    assert name in next(reason.what for reason in reasons if reason.rule == "pictures")


def test_red_evidence_is_proposed_and_refused_with_its_finding(world: Any) -> None:
    """A failing gate does not stop the proposal; review quotes the finding."""
    release = world.register(1)
    finding = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.FAIL, message="It is 0.41, far too low")
    world.store.publish(release, world.evidence(release, findings=(finding,)))
    pull = world.promote(release)
    world.desk("grace").forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert [reason.rule for reason in verdict.reasons] == ["evidence_verdict"]
    assert "It is 0.41, far too low" in str(verdict)


def test_evidence_expires_while_a_proposal_waits(world: Any) -> None:
    """Green today, stale in eight days; then a changed gate on main makes it stale at once."""
    pull = world.promote(world.register(1))
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == set()
    later = review(world.desk(), pull.number, now=world.now + timedelta(days=8))
    assert {reason.rule for reason in later.reasons} == {"evidence_expired"}
    world.push({layout.MODEL: world.ada.read(world.ada.main(), layout.MODEL).replace("0.68", "0.50")})
    assert world.rules(pull) == {"gates_changed"}


def test_production_asks_for_staging_first(world: Any) -> None:
    """Red upstream, then verified and soaked, then revoked by a later red verification."""
    release = world.register(1)
    world.record("staging", release, Verdict.FAIL, ago=timedelta(hours=3))
    pull = world.promote(release, "production")
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == {"upstream_verified"}
    world.record("staging", release)
    assert world.rules(pull) == set()
    world.record("staging", release, Verdict.FAIL, ago=timedelta(0), applied=False)
    assert world.rules(pull) == {"upstream_verified"}


def test_the_comparison_must_be_with_what_production_runs_now(world: Any) -> None:
    """A champion that changed after the comparison makes it stale."""
    first, second = world.register(1), world.register(2)
    waiting = world.promote(second)
    world.desk("grace").forge.approve(waiting.number)
    assert world.rules(waiting) == set()
    world.record("staging", first)
    world.merge(world.promote(first, "production"))
    assert world.rules(waiting) == {"champion"}
    world.store.publish(second, world.evidence(second, Kind.COMPARISON, champion=first.id))
    renewed = world.promote(second)
    assert world.rules(renewed) == {"approvals"}


def _twin(world: Any, release: Any, environment: str = "staging", kind: str = "promote") -> Any:
    """Open a second proposal, as if two people had proposed at once and neither had closed the other."""
    repository, main = world.ada, world.ada.main()
    branch = f"towpath/{kind}/{environment}/flights/{'0' * 12}"
    commit = repository.commit([main], main, {"twin": release.id.encode()}, "Twin")
    repository.push(commit, f"refs/heads/{branch}", None)
    return world.desk().forge.open(branch=branch, title="Twin", body="", data="")


def test_a_merge_closes_the_proposals_that_it_made_stale(world: Any) -> None:
    """Another open proposal for the same place is closed with a link, one for another place is not."""
    release = world.register(1)
    pull = world.promote(release)
    twin, elsewhere = _twin(world, release, kind="experiment"), _twin(world, release, "production")
    world.merge(pull)
    forge = world.desk().forge
    assert (forge.get(twin.number).state, forge.get(elsewhere.number).state) == (State.CLOSED, State.OPEN)
    assert f"Stale: #{pull.number}" in forge.get(twin.number).comments[-1].text


class _Moving(LocalForge):
    """Just before a merge main moves, as often as `times` says."""

    def merge(self, *arguments: Any, **options: Any) -> Any:
        """Move main, then merge."""
        if self.times.pop(0):
            main = self.repository.main()
            commit = self.repository.commit([main], main, {"moved": str(len(self.times)).encode()}, "Moved")
            self.repository.push(commit, "refs/heads/main", main)
        return super().merge(*arguments, **options)


@pytest.mark.parametrize(("moves", "merges"), [([True, False], True), ([True, True, True], False)])
def test_main_that_moves_between_review_and_merge_is_reviewed_again(
    world: Any, moves: list[bool], *, merges: bool
) -> None:
    """What is merged is what was reviewed: once moved, reviewed twice; moving on and on, given up as a conflict."""
    pull = world.promote(world.register(1))
    world.desk("grace").forge.approve(pull.number)
    desk = world.desk()
    forge = _Moving(desk.repository, lambda: world.now)
    object.__setattr__(forge, "times", list(moves))
    desk = replace(desk, forge=forge)
    if merges:
        merge_reviewed(desk, pull.number, now=world.now)
    else:
        with pytest.raises(ConflictError, match="keeps moving"):
            merge_reviewed(desk, pull.number, now=world.now)
    assert (world.declared("staging") is not None) is merges


def test_a_file_without_a_release_is_refused(world: Any) -> None:
    """A proposal cannot empty an environment."""
    first = world.register(1)
    world.declare("staging", first)
    pull = world.promote(world.register(2))
    empty = world.ada.read(world.ada.resolve(f"{world.ada.main()}^"), STAGING)
    world.amend(pull, {STAGING: empty})
    assert world.rules(pull) == {"scope"}


def test_evidence_under_another_kinds_name_is_refused(world: Any) -> None:
    """A green evaluation cannot stand in for the comparison."""
    release = world.register(1)
    pull = world.promote(release)
    text = world.evidence(release).model_dump_json(by_alias=True)
    world.amend(pull, {layout.evidence_path(release.short_id, "comparison"): text})
    assert world.rules(pull) == {"unreadable"}


@pytest.mark.parametrize("text", [None, "- a list\n"])
def test_gates_that_main_cannot_state_let_nothing_in(world: Any, text: str | None) -> None:
    """Without a readable model.yaml on main nobody knows whether the evidence is current."""
    pull = world.promote(world.register(1))
    world.push({layout.MODEL: text})
    assert world.rules(pull) == {"unreadable"}


# --- the way back -------------------------------------------------------------------------------------------------


@pytest.fixture
def declared(world: Any) -> tuple[Any, Any]:
    """Staging ran the first release and runs the second; both are verified there."""
    first, second = world.register(1), world.register(2)
    for release, ago in ((first, timedelta(hours=3)), (second, timedelta(hours=2))):
        world.declare("staging", release)
        world.record("staging", release, ago=ago)
    return first, second


def _roll_back(world: Any, **options: Any) -> Any:
    return propose_rollback(
        world.desk(), environment="staging", model="flights", reason="late flights", now=world.now, **options
    )


def test_a_rollback_needs_no_evidence_and_blocks_what_it_leaves(world: Any, declared: Any) -> None:
    """Gates that changed or expired do not stand in the way back; the bad release may not come again."""
    first, second = declared
    world.push({layout.MODEL: world.ada.read(world.ada.main(), layout.MODEL).replace("0.68", "0.99")})
    world.now += timedelta(days=100)
    pull = _roll_back(world)
    assert world.rules(pull) == {"approvals"}
    world.merge(pull)
    assert world.declared("staging") == first
    again = world.promote(second)
    assert "blocked" in world.rules(again)


def test_the_rollback_lane_has_its_own_number_of_approvals(world: Any, declared: Any) -> None:
    """With `rollback.approvals: 0` it merges alone."""
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    world.push({layout.POLICY: policy.replace("rollback: {approvals: 1}", "rollback: {approvals: 0}")})
    merge_reviewed(world.desk(), _roll_back(world).number, now=world.now)
    assert world.declared("staging") == declared[0]


def test_a_rollback_that_forgets_to_block_is_refused(world: Any, declared: Any) -> None:
    """The hold must name exactly what is left."""
    pull = _roll_back(world)
    world.amend(pull, {STAGING: lambda text: text.replace(declared[1].id, f"sha256:{'0' * 64}")})
    assert {"hold", "compare_and_swap"} <= world.rules(pull)


def test_evidence_does_not_ride_along_with_a_rollback(world: Any, declared: Any) -> None:
    """A rollback edits one file."""
    pull = _roll_back(world)
    path = layout.evidence_path(declared[0].short_id, "evaluation")
    world.amend(pull, {path: world.evidence(declared[0]).model_dump_json(by_alias=True)})
    assert "scope" in world.rules(pull)


def test_a_rollback_target_that_turns_red_meanwhile_is_refused(world: Any, declared: Any) -> None:
    """Its latest verification counts at review, too."""
    pull = _roll_back(world)
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == set()
    world.record("staging", declared[0], Verdict.FAIL, ago=timedelta(0), applied=False)
    assert world.rules(pull) == {"verified_here"}


def test_a_review_is_a_record(world: Any) -> None:
    """It goes to a machine as JSON and comes back."""
    verdict = review(world.desk(), world.promote(world.register(1)).number, now=world.now)
    assert Review.model_validate_json(verdict.model_dump_json()) == verdict
