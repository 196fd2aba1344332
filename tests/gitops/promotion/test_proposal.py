# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Proposing: one branch, one pull request, however often; and the way back to a release that is safe."""

import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.base import State
from towpath_gitops.promotion import gallery
from towpath_gitops.promotion.branches import Place, place_of
from towpath_gitops.promotion.decision import Decision
from towpath_gitops.promotion.pictures import draw
from towpath_gitops.promotion.proposal import propose_promotion, propose_rollback
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.deployment import ChangeType, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, bundle_digest
from towpath_gitops.records.load_gates import judged

PATH = layout.environment_path("staging", "flights")


def _promote(world: Any, release: Any, **fields: Any) -> Any:
    options = {"environment": "staging", "reason": "retrain", "now": world.now} | fields
    return propose_promotion(world.desk(options.pop("who", "ada")), release=release, **options)


def _roll_back(world: Any, **fields: Any) -> Any:
    options = {"environment": "staging", "model": "flights", "reason": "late", "now": world.now} | fields
    return propose_rollback(world.desk(), **options)


def test_a_promotion_edits_one_environment_file_and_adds_its_evidence(world: Any) -> None:
    """Nothing else changes, the owner's words stay, and the change names the bundle's digest."""
    release = world.register(1)
    pull = _promote(world, release)
    main, short = world.ada.main(), release.short_id
    evidence = [layout.evidence_path(short, kind) for kind in ("comparison", "evaluation")]
    assert sorted(world.ada.changed(main, pull.head)) == sorted([*evidence, PATH])
    assert (pull.branch, pull.title) == (f"towpath/promote/staging/flights/{short}", "Promote flights 1.1.0 to staging")
    assert pull.labels == ("promote", "staging", "flights")
    text = world.ada.read(pull.head, PATH)
    assert "# The owner's own words." in text
    deployment = parse_deployment(text, source=PATH)
    written = [Evidence.model_validate_json(world.ada.read(pull.head, path)) for path in evidence]
    assert (deployment.declared, deployment.change.type) == (release, ChangeType.PROMOTE)
    assert deployment.change.evidence == bundle_digest(written)
    assert world.ada.info(pull.head).trailers("Towpath-Release") == (release.id,)
    assert place_of(pull.branch) == Place("promote", "staging", "flights")
    assert place_of("feature/x") is None


def test_the_decision_document_is_there_for_people_and_machines(world: Any) -> None:
    """Markdown and JSON say the same, and what review will still ask."""
    release = world.register(1)
    world.record("staging", release, Verdict.FAIL)
    pull = _promote(world, release, environment="production")
    decision = Decision.model_validate_json(pull.data)
    assert {reason.rule for reason in decision.reasons} == {"upstream_verified"}
    assert "production begins to serve flights" in pull.body
    assert "is not verified in staging" in pull.body
    assert json.loads(pull.data)["apiVersion"] == "towpath/v1"


def test_proposing_again_adopts_the_same_pull_request_and_keeps_its_approvals(world: Any) -> None:
    """The same change by anybody is one pull request with one head; main may have moved elsewhere."""
    release = world.register(1)
    first = _promote(world, release)
    world.desk("grace").forge.approve(first.number)
    world.push({"README.md": "x"})
    again = _promote(world, release, who="grace")
    assert (again.number, again.head) == (first.number, first.head)
    assert len(again.current_approvals) == 1
    assert len(world.desk().forge.list()) == 1


def test_a_changed_proposal_is_the_same_pull_request_with_a_new_head(world: Any) -> None:
    """Another reason or fresher evidence is another commit, which nobody has approved yet."""
    release = world.register(1)
    first = _promote(world, release)
    world.desk("grace").forge.approve(first.number)
    world.store.publish(release, world.evidence(release, Kind.EVALUATION, created=world.now))
    again = _promote(world, release)
    assert again.number == first.number
    assert again.head != first.head
    assert again.current_approvals == ()


def test_a_proposal_that_was_interrupted_after_its_push_is_finished(world: Any) -> None:
    """The branch is there, the pull request is not: proposing again opens it on the same commit."""
    release = world.register(1)
    pull = _promote(world, release)
    repository = world.ada
    for ref in ("refs/towpath/pulls/1", "refs/towpath/latest"):
        repository.push(None, ref, repository.tip(ref))
    again = _promote(world, release)
    assert (again.number, again.head, again.state) == (1, pull.head, State.OPEN)


def test_a_newer_promotion_closes_the_older_with_a_link(world: Any) -> None:
    """Only for the same environment and model."""
    first, second = world.register(1), world.register(2)
    world.record("staging", first)
    old, elsewhere = _promote(world, first), _promote(world, first, environment="production")
    new = _promote(world, second)
    forge = world.desk().forge
    assert (forge.get(old.number).state, forge.get(elsewhere.number).state) == (State.CLOSED, State.OPEN)
    assert f"Superseded by #{new.number}" in forge.get(old.number).comments[-1].text


def test_what_makes_no_sense_is_refused_before_anything_is_pushed(world: Any) -> None:
    """An unknown environment, a release that is declared already, a reason of two lines."""
    release = world.register(1)
    with pytest.raises(NotFoundError, match="staging, production"):
        _promote(world, release, environment="qa")
    with pytest.raises(InvalidFileError, match="one line"):
        _promote(world, release, reason="two\nlines")
    world.declare("staging", release)
    with pytest.raises(RefusedError, match="already"):
        _promote(world, release)
    assert world.ada.tips("refs/heads/towpath/") == {}


def test_without_a_fact_that_a_decision_needs_nothing_is_proposed(world: Any) -> None:
    """Every missing one is named with the command that makes it; nothing was pushed."""
    release = world.register(1)
    for path in (world.store.root / "1").glob("evidence-*.json"):
        path.unlink()
    with pytest.raises(RefusedError, match="3 facts are missing") as caught:
        _promote(world, release, environment="production")
    assert "There is no evaluation evidence for it. It comes from: towpath train" in caught.value.why
    assert f"It comes from: towpath compare {release.short_id}" in caught.value.why
    assert f"It comes from: towpath promote {release.short_id} --to staging" in caught.value.why
    assert world.ada.tips("refs/heads/towpath/") == {}
    assert world.desk().forge.list(None) == []


def test_the_document_tells_what_lies_between_and_where_to_look(world: Any) -> None:
    """Commits between the two releases, who is replaced, links to the very files that are proposed."""
    old_code = world.push({"README.md": "one"}, "The old features")
    new_code = world.push({"README.md": "two"}, "Learn from the tides | too")
    first, second = world.register(1, code=old_code), world.register(2, code=new_code)
    world.declare("staging", first)
    world.record("staging", first)
    pull = _promote(world, second)
    decision = Decision.model_validate_json(pull.data)
    assert [(step.commit, step.subject) for step in decision.differences.steps] == [
        (new_code, "Learn from the tides | too")
    ]
    assert "Learn from the tides &#124; too" in pull.body
    assert decision.way_back.safe
    assert (decision.way_back.release.id, decision.replaces.id) == (first.id, first.id)
    linked = {link.to for link in decision.links}
    assert {PATH, layout.evidence_path(second.short_id, "comparison"), "models:/flights/2"} <= linked
    assert f"git diff {old_code[:12]} {new_code[:12]}" in linked
    assert f"[comparison evidence]({layout.evidence_path(second.short_id, 'comparison')})" in pull.body


def test_pictures_are_proposed_with_the_evidence_and_shown(world: Any, compared: Any, loaded: Any) -> None:
    """Drawn from it, beside it; when the evidence no longer gives one, the next proposal takes it away."""
    first, second = world.register(1), world.register(2)
    world.declare("production", first)
    comparison = world.evidence(second, Kind.COMPARISON, champion=first.id, details=compared.plain())
    load = world.evidence(second, Kind.LOAD, champion=first.id, details=loaded.plain(), findings=judged(loaded))
    world.store.publish(second, comparison)
    world.store.publish(second, load)
    pull = _promote(world, second)
    paths = gallery.paths(second)
    drawn = draw({Kind.COMPARISON: comparison, Kind.LOAD: load})
    assert {name: world.ada.read_bytes(pull.head, path) for name, path in paths.items()} == drawn
    assert set(drawn) == set(paths)
    for picture in Decision.model_validate_json(pull.data).pictures:
        assert f"]({paths[picture.name]})" in pull.body
    world.desk("grace").forge.approve(pull.number)
    merge_reviewed(world.desk(), pull.number, now=world.now)
    silent = {"silence": "The champion speaks another language", "footprints": compared.plain()["footprints"]}
    world.store.publish(second, world.evidence(second, Kind.COMPARISON, champion=first.id, details=silent))
    world.store.publish(second, load.model_copy(update={"details": {}}))
    world.record("staging", second)
    again = _promote(world, second, environment="production")
    assert {name for name, path in paths.items() if world.ada.read_bytes(again.head, path)} == set()
    world.desk("grace").forge.approve(again.number)
    assert {reason.rule for reason in review(world.desk(), again.number, now=world.now).reasons} == set()


def test_a_proposal_that_main_overtook_is_renewed_in_place(world: Any) -> None:
    """The owner edits the file meanwhile: the same pull request gets a head that merges again."""
    release = world.register(1)
    first = _promote(world, release)
    world.push({PATH: world.ada.read(world.ada.main(), PATH).replace("workers: 1", "workers: 2")})
    again = _promote(world, release)
    assert again.number == first.number
    assert "workers: 2" in world.ada.read(again.head, PATH)


# --- the way back -------------------------------------------------------------------------------------------------


def _served(world: Any, *releases: Any) -> None:
    """Staging declared these one after the other, each verified."""
    for position, release in enumerate(releases):
        world.declare("staging", release)
        world.record("staging", release, ago=timedelta(hours=10 - position))


def test_the_way_back_leads_to_the_last_verified_release(world: Any) -> None:
    """Not the current one, not an older one; the file blocks what it leaves."""
    releases = [world.register(version) for version in (1, 2, 3)]
    _served(world, *releases)
    pull = _roll_back(world)
    deployment = parse_deployment(world.ada.read(pull.head, PATH), source=PATH)
    assert (deployment.declared, deployment.blocked) == (releases[1], (releases[2].id,))
    assert (deployment.hold.by, deployment.hold.reason) == ("ada@example.org", "late")
    assert pull.title == "Roll flights in staging back to 1.2.0"
    assert world.ada.changed(world.ada.main(), pull.head) == (PATH,)
    assert "goes back from flights 1.3.0" in pull.body


def test_rolling_back_again_later_adopts_the_same_proposal(world: Any) -> None:
    """The moment of the hold is that of the first proposal, so that approvals stand."""
    _served(world, world.register(1), world.register(2))
    first = _roll_back(world)
    world.now += timedelta(minutes=5)
    assert _roll_back(world).head == first.head


def test_candidates_that_are_not_safe_are_passed_over(world: Any) -> None:
    """A red one, a blocked one and one whose artifact is gone are skipped for the next."""
    good, gone, red, current = (world.register(version) for version in (1, 2, 3, 4))
    _served(world, good, gone, red, current)
    world.record("staging", red, Verdict.FAIL, ago=timedelta(0), applied=False)
    shutil.rmtree(world.store.folder(gone))
    pull = _roll_back(world)
    assert parse_deployment(world.ada.read(pull.head, PATH), source=PATH).declared == good


def test_without_a_safe_release_every_candidate_is_explained(world: Any) -> None:
    """Forgotten by the registry, changed by one byte, or of another signature: each reason is given."""
    wide = {"name": "origin", "type": "string"}
    signature = {"task": "binary", "target": "late", "classes": ["false", "true"]}
    forgotten, flipped = world.register(1), world.register(2)
    other = world.register(3, signature=signature | {"inputs": [{"name": "carrier", "type": "string"}, wide]})
    current = world.register(4)
    _served(world, forgotten, flipped, other, current)
    shutil.rmtree(world.store.root / "1")
    (world.store.folder(flipped) / "model").write_text("flipped")
    with pytest.raises(RefusedError) as caught:
        _roll_back(world)
    assert f"{forgotten} cannot be fetched: No release" in caught.value.why
    assert "is not the one that was approved" in caught.value.why
    assert "it needs the column “origin”, which callers do not send" in caught.value.why


def test_a_bad_release_whose_files_are_gone_can_still_be_left(world: Any) -> None:
    """The way back does not depend on the artifact that is broken."""
    good, bad = world.register(1), world.register(2)
    _served(world, good, bad)
    shutil.rmtree(world.store.folder(bad))
    pull = _roll_back(world)
    assert parse_deployment(world.ada.read(pull.head, PATH), source=PATH).declared == good


def test_a_rollback_branch_that_somebody_broke_is_replaced(world: Any) -> None:
    """What stands on the branch is never trusted."""
    _served(world, world.register(1), world.register(2))
    pull = _roll_back(world)
    broken = world.ada.commit([pull.head], pull.head, {PATH: b"nonsense"}, "Break")
    world.ada.push(broken, f"refs/heads/{pull.branch}", pull.head)
    again = _roll_back(world)
    assert again.number == pull.number
    assert parse_deployment(world.ada.read(again.head, PATH), source=PATH).blocked


def test_what_cannot_be_compared_is_not_safe(world: Any) -> None:
    """Another schema and a current release whose files are gone; an artifact without a signature."""
    wider = {"task": "binary", "target": "late", "classes": ["false", "true"]}
    wider |= {"inputs": [{"name": "carrier", "type": "string"}, {"name": "origin", "type": "string"}]}
    old, bare, current = world.register(1, signature=wider), world.register(2), world.register(3)
    _served(world, old, bare, current)
    shutil.rmtree(world.store.folder(current))
    (world.store.folder(bare) / "signature.json").write_text("{}")
    with pytest.raises(RefusedError) as caught:
        _roll_back(world)
    assert "the schemas differ and that of flights 1.3.0" in caught.value.why
    assert "flights 1.2.0" in caught.value.why


def test_nothing_to_go_back_to_is_said(world: Any) -> None:
    """Nothing declared, then nothing else verified."""
    with pytest.raises(RefusedError, match="Nothing runs in staging"):
        _roll_back(world)
    _served(world, world.register(1))
    with pytest.raises(RefusedError, match="No other release was ever verified"):
        _roll_back(world)


def test_a_named_target_is_proposed_even_when_review_will_refuse_it(world: Any) -> None:
    """The person sees the reasons in the decision document."""
    first, second, stranger = (world.register(version) for version in (1, 2, 3))
    _served(world, first, second)
    pull = _roll_back(world, to=stranger)
    assert [reason.rule for reason in Decision.model_validate_json(pull.data).reasons] == ["verified_here"]


def test_a_promotion_tells_where_a_rollback_would_lead(world: Any) -> None:
    """To what it replaces, when that is safe; and says so when it is not."""
    first, second = world.register(1), world.register(2)
    world.declare("staging", first)
    assert "no safe way back" in _promote(world, second).body
    world.record("staging", first)
    assert "leads back to flights 1.1.0" in _promote(world, second).body
