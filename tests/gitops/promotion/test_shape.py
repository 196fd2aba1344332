# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""What a proposal of each type may write: exactly that passes, anything else is refused and named."""

from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.promotion import headlines, judgement, rivals
from towpath_gitops.promotion.eligibility import RULES
from towpath_gitops.promotion.proposal import (
    propose_experiment,
    propose_experiment_stop,
    propose_hold,
    propose_repackage,
    propose_rollback,
    propose_unhold,
)
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.promotion.shape import SHAPES
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import (
    ChangeType,
    Experiment,
    Hold,
    PinnedRelease,
    edited,
    parse_deployment,
)
from towpath_gitops.records.evidence import Kind

STAGING = layout.environment_path("staging", "flights")
PRODUCTION = layout.environment_path("production", "flights")


@pytest.mark.parametrize(
    "path",
    [layout.POLICY, layout.MODEL, "src/flights/schema.py", ".github/workflows/review.yml", "gitops/evidence/0/x"],
)
def test_nothing_else_rides_along(world: Any, path: str) -> None:
    """A proposal that also changes another file is refused, and the file is named."""
    pull = world.promote(world.register(1))
    world.amend(pull, {path: "name: flights\n"})
    verdict = review(world.desk(), pull.number, now=world.now)
    assert "scope" in {reason.rule for reason in verdict.reasons}
    assert path in str(verdict)


def test_two_environments_in_one_proposal_are_refused(world: Any) -> None:
    """Exactly one environment file."""
    pull = world.promote(world.register(1))
    world.amend(pull, {PRODUCTION: lambda text: text + "# too\n"})
    assert world.rules(pull) == {"scope"}


def test_removing_an_environment_file_or_its_release_is_refused(world: Any) -> None:
    """Nothing is removed by a proposal."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: None})
    assert world.rules(pull) == {"scope"}


@pytest.mark.parametrize(
    ("old", "new"),
    [("port: 3000", "port: 3001"), ("workers: 1", "workers: 9"), ("strategy: switch", "strategy: canary")],
)
def test_owned_fields_are_out_of_bounds(world: Any, old: str, new: str) -> None:
    """A promotion may not touch where and how the environment runs."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace(old, new)})
    world.desk("grace").forge.approve(pull.number)
    assert world.rules(pull) == {"owned_fields"}


def test_a_promotion_may_not_block_or_unblock(world: Any) -> None:
    """`hold` is written by rollbacks alone."""
    pull = world.promote(world.register(1))
    hold = f"hold: {{blocked: ['sha256:{'0' * 64}'], reason: x, by: x, since: 2026-01-01T00:00:00Z}}"
    world.amend(pull, {STAGING: lambda text: text.replace("hold: null", hold)})
    assert "hold" in world.rules(pull)


def test_an_experiment_cannot_be_smuggled_in(world: Any) -> None:
    """A promotion declares one release and no challenger."""
    release = world.register(1)
    pull = world.promote(release)

    def smuggle(text: str) -> str:
        pinned = parse_deployment(text, source="x").release.model_dump_json(by_alias=True)
        return text.replace("experiment: null", f"experiment: {{challenger: {pinned}, mode: ab, share: 0.5}}")

    world.amend(pull, {STAGING: smuggle})
    assert "experiment" in world.rules(pull)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("hold", "release"), ("experiment", "release"), ("repackage", "release"), ("hotfix", "hotfix")],
)
def test_calling_a_promotion_something_else_does_not_help(world: Any, kind: str, rule: str) -> None:
    """Renaming the type does not lead around the rules: each type writes its own fields and nothing else."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace("type: promote", f"type: {kind}")})
    assert rule in world.rules(pull)


def test_calling_a_promotion_a_rollback_does_not_help(world: Any) -> None:
    """The short lane demands a release that is verified here."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace("type: promote", "type: rollback")})
    assert "verified_here" in world.rules(pull)


@pytest.mark.parametrize("text", ["", "not: a deployment\n", "a: &x 1\nb: *x\n", "\x00"])
def test_a_broken_environment_file_is_refused_with_its_fault(world: Any, text: str) -> None:
    """What cannot be read cannot be approved."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: text})
    assert world.rules(pull) == {"unreadable"}


def test_a_file_that_speaks_of_another_environment_is_refused(world: Any) -> None:
    """The words must fit the place."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace("environment: staging", "environment: production")})
    assert world.rules(pull) == {"unreadable"}


def test_a_release_whose_id_is_not_its_digest_is_refused(world: Any) -> None:
    """A version changed under an approved id is caught by the record itself."""
    pull = world.promote(world.register(1))
    world.amend(pull, {STAGING: lambda text: text.replace("semver: 1.1.0", "semver: 1.1.1")})
    assert world.rules(pull) == {"unreadable"}


# --- each type of its own ------------------------------------------------------------------------------------------


def test_every_type_of_change_has_a_shape_and_a_judge() -> None:
    """A type that somebody adds is refused nowhere by accident: each table has a row for each."""
    assert set(SHAPES) == set(judgement._JUDGES) == set(rivals._CLOSES) == set(ChangeType)
    assert set(headlines._TITLES) == set(headlines._SUMMARIES) == set(ChangeType)
    assert set(RULES) == {kind for kind in ChangeType if kind not in {ChangeType.ROLLBACK, ChangeType.HOLD}}


def _options(world: Any) -> dict[str, Any]:
    return {"environment": "staging", "reason": "because", "now": world.now}


def _hold(world: Any) -> Any:
    return propose_hold(world.desk(), release=world.store.releases()[2], **_options(world))


def _unhold(world: Any) -> Any:
    for release in (world.store.releases()[0], world.store.releases()[2]):
        world.merge(propose_hold(world.desk(), release=release, **_options(world)))
    return propose_unhold(world.desk(), release=world.store.releases()[0], **_options(world))


def _try(world: Any) -> Any:
    challenger = world.store.releases()[2]
    return propose_experiment(world.desk(), challenger=challenger, mode="ab", share=0.1, **_options(world))


def _stop(world: Any) -> Any:
    world.merge(_try(world))
    return propose_experiment_stop(world.desk(), model="flights", **_options(world))


def _repackage(world: Any) -> Any:
    image = f"ghcr.io/acme/flights@{digest_of('image')}"
    return propose_repackage(world.desk(), model="flights", image=image, **_options(world))


def _edit(world: Any, pull: Any, **values: Any) -> None:
    """Amend a proposal so that its environment file says something else, well formed."""
    repository = world.ada
    text = repository.read(pull.head, STAGING)
    deployment = parse_deployment(text, source=STAGING)
    world.amend(pull, {STAGING: edited(text, deployment.model_copy(update=values), source=STAGING)})


def _found(world: Any, pull: Any) -> Any:
    return parse_deployment(world.ada.read(pull.head, STAGING), source=STAGING)


def _main(world: Any) -> Any:
    return parse_deployment(world.ada.read(world.ada.main(), STAGING), source=STAGING)


def _other_release(world: Any, _: Any) -> dict[str, Any]:
    return {"release": PinnedRelease.of(world.store.releases()[0])}


def _no_experiment_block(world: Any, found: Any) -> dict[str, Any]:
    challenger = PinnedRelease.of(world.store.releases()[2])
    kept = found.experiment.challenger if found.experiment else challenger
    return {"experiment": Experiment(challenger=kept, mode="shadow", share=0.9)}


def _blocks(*versions: int) -> Any:
    def values(world: Any, _: Any) -> dict[str, Any]:
        blocked = tuple(world.store.releases()[version - 1].id for version in versions)
        hold = Hold(blocked=blocked, reason="x", by="ada@example.org", since=world.now)
        return {"hold": hold if blocked else None}

    return values


def _as_on_main(*blocks: str) -> Any:
    return lambda world, _: {block: getattr(_main(world), block) for block in blocks}


def _names_evidence(_: Any, found: Any) -> dict[str, Any]:
    return {"change": found.change.model_copy(update={"evidence": digest_of("x")})}


@pytest.mark.parametrize(
    ("propose", "values", "rule"),
    [
        (_hold, _other_release, "release"),
        (_hold, _no_experiment_block, "experiment"),
        (_hold, _blocks(), "hold"),
        (_hold, _blocks(2), "hold"),
        (_hold, _names_evidence, "evidence_digest"),
        (_unhold, _other_release, "release"),
        (_unhold, _blocks(3), "hold"),
        (_unhold, _blocks(1, 3), "hold"),
        (_try, _other_release, "release"),
        (_try, _blocks(1), "hold"),
        (_try, _as_on_main("experiment"), "experiment"),
        (_try, _names_evidence, "evidence_digest"),
        (_stop, _other_release, "release"),
        (_stop, _as_on_main("experiment"), "experiment"),
        (_stop, _names_evidence, "evidence_digest"),
        (_repackage, _other_release, "release"),
        (_repackage, _as_on_main("release"), "release"),
        (_repackage, _blocks(1), "hold"),
        (_repackage, _no_experiment_block, "experiment"),
    ],
)
def test_each_type_writes_its_own_fields_and_nothing_else(
    served_world: Any, propose: Any, values: Any, rule: str
) -> None:
    """Beside the field that it is for, a change of each type may touch none; and it must touch that one."""
    pull = propose(served_world)
    _edit(served_world, pull, **values(served_world, _found(served_world, pull)))
    assert rule in served_world.rules(pull)


def _rollback(world: Any) -> Any:
    return propose_rollback(world.desk(), model="flights", **_options(world))


@pytest.mark.parametrize("propose", [_hold, _rollback])
def test_nobody_holds_back_in_anothers_name(served_world: Any, propose: Any) -> None:
    """A hold names who holds: somebody who wrote the proposal, in whatever case, and nobody else."""
    pull = propose(served_world)
    hold = _found(served_world, pull).hold
    _edit(served_world, pull, hold=hold.model_copy(update={"by": "Ada@Example.org"}))
    assert served_world.rules(pull) == {"approvals"}
    _edit(
        served_world,
        served_world.desk().forge.get(pull.number),
        hold=hold.model_copy(update={"by": "grace@example.org"}),
    )
    assert served_world.rules(pull) == {"approvals", "hold"}
    assert "in the name of grace@example.org" in str(review(served_world.desk(), pull.number, now=served_world.now))


def test_a_hold_that_is_lifted_in_part_keeps_its_name(served_world: Any) -> None:
    """Grace held two back; Ada lifts one, and what Grace said of the other stands."""
    for release in (served_world.store.releases()[0], served_world.store.releases()[2]):
        held = propose_hold(served_world.desk("grace"), release=release, **_options(served_world))
        served_world.desk().forge.approve(held.number)
        merge_reviewed(served_world.desk(), held.number, now=served_world.now)
    pull = propose_unhold(served_world.desk(), release=served_world.store.releases()[0], **_options(served_world))
    assert _found(served_world, pull).hold.by == "grace@example.org"
    assert served_world.rules(pull) == {"approvals"}
    more = propose_hold(served_world.desk(), release=served_world.register(4), **_options(served_world))
    kept = {"by": "grace@example.org", "since": _main(served_world).hold.since}
    _edit(served_world, more, hold=_found(served_world, more).hold.model_copy(update=kept))
    assert served_world.rules(more) == {"approvals", "hold"}


@pytest.mark.parametrize("propose", [_hold, _stop, _repackage])
def test_what_shows_no_evidence_brings_none(served_world: Any, propose: Any) -> None:
    """Neither evidence nor a signature rides along with a change that brings no release into service."""
    pull = propose(served_world)
    release = served_world.store.releases()[2]
    text = served_world.evidence(release, Kind.DATA).model_dump_json(by_alias=True)
    served_world.amend(pull, {layout.evidence_path(release.short_id, "data"): text})
    assert "scope" in served_world.rules(pull)


@pytest.mark.parametrize("propose", [_hold, _unhold, _try, _stop, _repackage])
def test_every_type_states_what_it_replaces(served_world: Any, propose: Any) -> None:
    """Compare-and-swap holds for changes that leave the release alone, too."""
    pull = propose(served_world)
    found = _found(served_world, pull)
    _edit(served_world, pull, change=found.change.model_copy(update={"replaces": None}))
    assert "compare_and_swap" in served_world.rules(pull)
