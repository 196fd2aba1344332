# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Each rule of review both ways: what is sound passes, what breaks the one rule is refused by that rule."""

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, NotFoundError, RefusedError, UncleanRepositoryError
from towpath_gitops.forges.base import State
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.proposal import propose_promotion, propose_rollback
from towpath_gitops.promotion.review import Review, merge_reviewed, review
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.repository import Repository

STAGING = layout.environment_path("staging", "flights")
PRODUCTION = layout.environment_path("production", "flights")


def _promote(world: Any, release: Any, environment: str = "staging") -> Any:
    return propose_promotion(world.desk(), environment=environment, release=release, reason="retrain", now=world.now)


def _rules(world: Any, number: int) -> set[str]:
    return {reason.rule for reason in review(world.desk(), number, now=world.now).reasons}


def _amend(world: Any, pull: Any, edits: dict[str, Any], who: str = "ada") -> None:
    """Put a commit on top of a proposal's branch; a function edits the file's text."""
    repository = world.person(who)
    repository.fetch()
    head = repository.tip(f"refs/heads/{pull.branch}")
    data = {}
    for path, edit in edits.items():
        text = edit(repository.read(head, path)) if callable(edit) else edit
        data[path] = None if text is None else text.encode()
    repository.push(repository.commit([head], head, data, "Amend"), f"refs/heads/{pull.branch}", head)


def _approve_and_merge(world: Any, pull: Any) -> Any:
    world.desk("grace").forge.approve(pull.number)
    return merge_reviewed(world.desk(), pull.number, now=world.now)


def test_a_sound_promotion_passes_once_an_owner_approves(world: Any) -> None:
    """Refused before the approval by the approvals rule alone, merged after it, with testimony in the trailers."""
    release = world.register(1)
    pull = _promote(world, release)
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
    pull = _promote(world, world.register(1))
    nobody = Repository(world.ada.root)
    with pytest.raises(UncleanRepositoryError):
        nobody.identity()
    found = review(replace(world.desk(), repository=nobody), pull.number, now=world.now)
    assert [reason.rule for reason in found.reasons] == ["approvals"]


def test_merging_twice_is_merging_once(world: Any) -> None:
    """A second merge finds the first and changes nothing."""
    pull = _promote(world, world.register(1))
    first = _approve_and_merge(world, pull)
    main = world.ada.main()
    assert merge_reviewed(world.desk(), pull.number, now=world.now).merged == first.merged
    assert world.ada.main() == main


def test_a_pull_request_that_does_not_exist_is_not_found(world: Any) -> None:
    """An unknown number is an error, not a refusal."""
    with pytest.raises(NotFoundError, match="#9"):
        review(world.desk(), 9, now=world.now)


def test_a_settled_pull_request_cannot_be_merged(world: Any) -> None:
    """Closed means closed."""
    pull = _promote(world, world.register(1))
    world.desk().forge.close(pull.number, "No.")
    assert _rules(world, pull.number) == {"state"}


# --- approvals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "why"), [("ada", "wrote it"), ("mallory", "does not own")])
def test_the_author_and_strangers_do_not_count(world: Any, who: str, why: str) -> None:
    """Ada is an owner but wrote it; Mallory did not write it but owns nothing."""
    pull = _promote(world, world.register(1))
    world.desk(who).forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert [reason.rule for reason in verdict.reasons] == ["approvals"]
    assert f"{who}@example.org ({why}" in str(verdict)


def test_an_approval_forged_in_anothers_name_does_not_count(world: Any) -> None:
    """A commit that names Grace as its author but was committed by Ada is no approval by Grace."""
    pull = _promote(world, world.register(1))
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
    pull = _promote(world, world.register(1))
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == set()
    _amend(world, pull, {STAGING: lambda text: text.replace("retrain", "something else")})
    assert _rules(world, pull.number) == {"approvals"}
    assert "approved an earlier commit" in str(review(world.desk(), pull.number, now=world.now))
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == set()


def test_whoever_added_a_commit_is_an_author_too(world: Any) -> None:
    """Grace cannot approve a branch that she pushed to, though Ada opened it."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace("retrain", "a better reason")}, who="grace")
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == {"approvals"}


def test_owners_are_those_of_main_not_of_the_branch(world: Any) -> None:
    """A branch that makes Mallory an owner is refused for touching the file, and her approval does not count."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {layout.CODEOWNERS: "/gitops/ mallory@example.org\n"})
    world.desk("mallory").forge.approve(pull.number)
    assert _rules(world, pull.number) == {"scope", "approvals"}


def test_a_path_without_owners_cannot_be_approved(world: Any) -> None:
    """No CODEOWNERS: the reason says where to add one."""
    world.push({layout.CODEOWNERS: None})
    pull = _promote(world, world.register(1))
    world.desk("grace").forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert "names nobody" in str(verdict)


@pytest.mark.parametrize(("needed", "ok"), [(0, True), (1, True), (2, False)])
def test_the_policy_says_how_many(world: Any, needed: int, ok: bool) -> None:  # noqa: FBT001 (parametrized)
    """None needed, one needed and given, two needed and one given; approving twice is approving once."""
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    world.push({layout.POLICY: policy.replace("approvals: 1", f"approvals: {needed}")})
    pull = _promote(world, world.register(1))
    if needed:
        world.desk("grace").forge.approve(pull.number)
        world.desk("grace").forge.approve(pull.number)
    assert review(world.desk(), pull.number, now=world.now).ok is ok


# --- scope --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [layout.POLICY, layout.MODEL, "src/flights/schema.py", ".github/workflows/review.yml", "gitops/evidence/0/x"],
)
def test_nothing_else_rides_along(world: Any, path: str) -> None:
    """A proposal that also changes another file is refused, and the file is named."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {path: "name: flights\n"})
    verdict = review(world.desk(), pull.number, now=world.now)
    assert "scope" in {reason.rule for reason in verdict.reasons}
    assert path in str(verdict)


def test_two_environments_in_one_proposal_are_refused(world: Any) -> None:
    """Exactly one environment file."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {PRODUCTION: lambda text: text + "# too\n"})
    assert _rules(world, pull.number) == {"scope"}


def test_removing_an_environment_file_or_its_release_is_refused(world: Any) -> None:
    """Nothing is removed by a proposal."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: None})
    assert _rules(world, pull.number) == {"scope"}


@pytest.mark.parametrize(
    ("old", "new"),
    [("port: 3000", "port: 3001"), ("workers: 1", "workers: 9"), ("strategy: switch", "strategy: canary")],
)
def test_owned_fields_are_out_of_bounds(world: Any, old: str, new: str) -> None:
    """A promotion may not touch where and how the environment runs."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace(old, new)})
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == {"owned_fields"}


def test_a_promotion_may_not_block_or_unblock(world: Any) -> None:
    """`hold` is written by rollbacks alone."""
    pull = _promote(world, world.register(1))
    hold = f"hold: {{blocked: ['sha256:{'0' * 64}'], reason: x, by: x, since: 2026-01-01T00:00:00Z}}"
    _amend(world, pull, {STAGING: lambda text: text.replace("hold: null", hold)})
    assert "hold" in _rules(world, pull.number)


def test_an_experiment_cannot_be_smuggled_in(world: Any) -> None:
    """A promotion declares one release and no challenger."""
    release = world.register(1)
    pull = _promote(world, release)

    def smuggle(text: str) -> str:
        pinned = parse_deployment(text, source="x").release.model_dump_json(by_alias=True)
        return text.replace("experiment: null", f"experiment: {{challenger: {pinned}, mode: ab, share: 0.5}}")

    _amend(world, pull, {STAGING: smuggle})
    assert "experiment" in _rules(world, pull.number)


@pytest.mark.parametrize("kind", ["hold", "hotfix", "repackage"])
def test_a_type_that_review_does_not_know_is_refused(world: Any, kind: str) -> None:
    """Renaming the type does not lead around the rules."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace("type: promote", f"type: {kind}")})
    assert "type" in _rules(world, pull.number)


def test_calling_a_promotion_a_rollback_does_not_help(world: Any) -> None:
    """The short lane demands a release that is verified here."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace("type: promote", "type: rollback")})
    assert "verified_here" in _rules(world, pull.number)


@pytest.mark.parametrize("text", ["", "not: a deployment\n", "a: &x 1\nb: *x\n", "\x00"])
def test_a_broken_environment_file_is_refused_with_its_fault(world: Any, text: str) -> None:
    """What cannot be read cannot be approved."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: text})
    assert _rules(world, pull.number) == {"unreadable"}


def test_a_file_that_speaks_of_another_environment_is_refused(world: Any) -> None:
    """The words must fit the place."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace("environment: staging", "environment: production")})
    assert _rules(world, pull.number) == {"unreadable"}


def test_a_release_whose_id_is_not_its_digest_is_refused(world: Any) -> None:
    """A version changed under an approved id is caught by the record itself."""
    pull = _promote(world, world.register(1))
    _amend(world, pull, {STAGING: lambda text: text.replace("semver: 1.1.0", "semver: 1.1.1")})
    assert _rules(world, pull.number) == {"unreadable"}


# --- freshness ----------------------------------------------------------------------------------------------------


def test_main_that_moved_elsewhere_does_not_matter(world: Any) -> None:
    """A commit to other files leaves a proposal sound."""
    pull = _promote(world, world.register(1))
    world.push({"README.md": "more\n"})
    _approve_and_merge(world, pull)
    assert "more\n" in world.ada.read(world.ada.main(), "README.md")


def test_a_proposal_is_stale_when_the_environment_file_moved(world: Any) -> None:
    """Even an edit of the owner's own fields makes it a conflict: nobody reviewed the blend."""
    pull = _promote(world, world.register(1))
    world.push({STAGING: world.ada.read(world.ada.main(), STAGING).replace("workers: 1", "workers: 2")})
    assert _rules(world, pull.number) == {"conflict"}


def test_a_change_must_state_what_it_replaces(world: Any) -> None:
    """Compare-and-swap: `from` is what main declares, not what it once did."""
    first, second = world.register(1), world.register(2)
    _approve_and_merge(world, _promote(world, first))
    pull = _promote(world, second)
    assert "compare_and_swap" not in _rules(world, pull.number)
    _amend(world, pull, {STAGING: lambda text: text.replace(f"from: {first.id}", "from: null")})
    assert "compare_and_swap" in _rules(world, pull.number)


def test_evidence_that_was_edited_after_the_proposal_is_refused(world: Any) -> None:
    """The change names the digest of the whole bundle."""
    release = world.register(1)
    pull = _promote(world, release)
    path = layout.evidence_path(release.short_id, "evaluation")
    _amend(world, pull, {path: lambda text: text.replace("0.71", "0.99")})
    assert _rules(world, pull.number) == {"evidence_digest", "provenance", "approvals"}


def test_evidence_that_was_renewed_after_the_proposal_must_be_proposed_again(world: Any) -> None:
    """What the registry holds now counts, be it better or worse than what was proposed."""
    release = world.register(1)
    pull = _promote(world, release)
    assert _rules(world, pull.number) == {"approvals"}
    worse = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.FAIL, message="It is 0.51")
    world.store.publish(release, world.evidence(release, findings=(worse,)))
    assert _rules(world, pull.number) == {"provenance", "approvals"}


def test_a_verification_that_was_renewed_meanwhile_holds_nobody_up(world: Any) -> None:
    """Every reconcile upstream renews it; the ledger says whether it is green, unless the policy wants the file."""
    release = world.register(1)
    world.store.publish(release, world.evidence(release, Kind.VERIFICATION))
    pull = _promote(world, release)
    world.store.publish(release, world.evidence(release, Kind.VERIFICATION, created=world.now))
    assert _rules(world, pull.number) == {"approvals"}


def test_a_release_that_nobody_registered_is_refused(world: Any) -> None:
    """Its fields and its id may agree with each other: anybody can compute a digest."""
    release = world.register(1)
    pull = _promote(world, release)
    shutil.rmtree(world.store.folder(release).parent)
    assert "provenance" in _rules(world, pull.number)


def test_removed_evidence_is_refused_twice(world: Any) -> None:
    """It rides along as a deletion, and what is missing is never a pass."""
    release = world.register(1)
    pull = _promote(world, release)
    _amend(world, pull, {layout.evidence_path(release.short_id, "evaluation"): None})
    assert {"evidence_missing", "evidence_digest"} <= _rules(world, pull.number)


def test_red_evidence_is_proposed_and_refused_with_its_finding(world: Any) -> None:
    """A failing gate does not stop the proposal; review quotes the finding."""
    release = world.register(1)
    finding = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.FAIL, message="It is 0.41, far too low")
    world.store.publish(release, world.evidence(release, findings=(finding,)))
    pull = _promote(world, release)
    world.desk("grace").forge.approve(pull.number)
    verdict = review(world.desk(), pull.number, now=world.now)
    assert [reason.rule for reason in verdict.reasons] == ["evidence_verdict"]
    assert "It is 0.41, far too low" in str(verdict)


def test_evidence_expires_while_a_proposal_waits(world: Any) -> None:
    """Green today, stale in eight days; then a changed gate on main makes it stale at once."""
    pull = _promote(world, world.register(1))
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == set()
    later = review(world.desk(), pull.number, now=world.now + timedelta(days=8))
    assert {reason.rule for reason in later.reasons} == {"evidence_expired"}
    world.push({layout.MODEL: world.ada.read(world.ada.main(), layout.MODEL).replace("0.68", "0.50")})
    assert _rules(world, pull.number) == {"gates_changed"}


def test_production_asks_for_staging_first(world: Any) -> None:
    """Not verified upstream, then verified and soaked, then revoked by a later red verification."""
    release = world.register(1)
    pull = _promote(world, release, "production")
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == {"upstream_verified"}
    world.record("staging", release)
    assert _rules(world, pull.number) == set()
    world.record("staging", release, Verdict.FAIL, ago=timedelta(0), applied=False)
    assert _rules(world, pull.number) == {"upstream_verified"}


def test_the_comparison_must_be_with_what_production_runs_now(world: Any) -> None:
    """A champion that changed after the comparison makes it stale."""
    first, second = world.register(1), world.register(2)
    waiting = _promote(world, second)
    world.desk("grace").forge.approve(waiting.number)
    assert _rules(world, waiting.number) == set()
    world.record("staging", first)
    _approve_and_merge(world, _promote(world, first, "production"))
    assert _rules(world, waiting.number) == {"champion"}
    world.store.publish(second, world.evidence(second, Kind.COMPARISON, champion=first.id))
    renewed = _promote(world, second)
    assert _rules(world, renewed.number) == {"approvals"}


def _twin(world: Any, release: Any, environment: str = "staging") -> Any:
    """Open a second proposal, as if two people had proposed at once and neither had closed the other."""
    repository, main = world.ada, world.ada.main()
    branch = f"towpath/promote/{environment}/flights/{'0' * 12}"
    commit = repository.commit([main], main, {"twin": release.id.encode()}, "Twin")
    repository.push(commit, f"refs/heads/{branch}", None)
    return world.desk().forge.open(branch=branch, title="Twin", body="", data="")


def test_a_merge_closes_the_proposals_that_it_made_stale(world: Any) -> None:
    """Another open proposal for the same place is closed with a link, one for another place is not."""
    release = world.register(1)
    pull = _promote(world, release)
    twin, elsewhere = _twin(world, release), _twin(world, release, "production")
    _approve_and_merge(world, pull)
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
    pull = _promote(world, world.register(1))
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
    pull = _promote(world, world.register(2))
    empty = world.ada.read(world.ada.resolve(f"{world.ada.main()}^"), STAGING)
    _amend(world, pull, {STAGING: empty})
    assert _rules(world, pull.number) == {"scope"}


def test_evidence_under_another_kinds_name_is_refused(world: Any) -> None:
    """A green evaluation cannot stand in for the comparison."""
    release = world.register(1)
    pull = _promote(world, release)
    text = world.evidence(release).model_dump_json(by_alias=True)
    _amend(world, pull, {layout.evidence_path(release.short_id, "comparison"): text})
    assert _rules(world, pull.number) == {"unreadable"}


@pytest.mark.parametrize("text", [None, "- a list\n"])
def test_gates_that_main_cannot_state_let_nothing_in(world: Any, text: str | None) -> None:
    """Without a readable model.yaml on main nobody knows whether the evidence is current."""
    pull = _promote(world, world.register(1))
    world.push({layout.MODEL: text})
    assert _rules(world, pull.number) == {"unreadable"}


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
    assert _rules(world, pull.number) == {"approvals"}
    _approve_and_merge(world, pull)
    assert world.declared("staging") == first
    again = _promote(world, second)
    assert "blocked" in _rules(world, again.number)


def test_the_rollback_lane_has_its_own_number_of_approvals(world: Any, declared: Any) -> None:
    """With `rollback.approvals: 0` it merges alone."""
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    world.push({layout.POLICY: policy.replace("rollback: {approvals: 1}", "rollback: {approvals: 0}")})
    merge_reviewed(world.desk(), _roll_back(world).number, now=world.now)
    assert world.declared("staging") == declared[0]


def test_a_rollback_that_forgets_to_block_is_refused(world: Any, declared: Any) -> None:
    """The hold must name exactly what is left."""
    pull = _roll_back(world)
    _amend(world, pull, {STAGING: lambda text: text.replace(declared[1].id, f"sha256:{'0' * 64}")})
    assert {"hold", "compare_and_swap"} <= _rules(world, pull.number)


def test_evidence_does_not_ride_along_with_a_rollback(world: Any, declared: Any) -> None:
    """A rollback edits one file."""
    pull = _roll_back(world)
    path = layout.evidence_path(declared[0].short_id, "evaluation")
    _amend(world, pull, {path: world.evidence(declared[0]).model_dump_json(by_alias=True)})
    assert "scope" in _rules(world, pull.number)


def test_a_rollback_target_that_turns_red_meanwhile_is_refused(world: Any, declared: Any) -> None:
    """Its latest verification counts at review, too."""
    pull = _roll_back(world)
    world.desk("grace").forge.approve(pull.number)
    assert _rules(world, pull.number) == set()
    world.record("staging", declared[0], Verdict.FAIL, ago=timedelta(0), applied=False)
    assert _rules(world, pull.number) == {"verified_here"}


def test_a_review_is_a_record(world: Any) -> None:
    """It goes to a machine as JSON and comes back."""
    verdict = review(world.desk(), _promote(world, world.register(1)).number, now=world.now)
    assert Review.model_validate_json(verdict.model_dump_json()) == verdict
