"""How an environment stands: told without waiting for anything that is away, and never better than it is."""

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from towpath_gitops import layout
from towpath_gitops.delivery.desired import policy_of
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import Intent, write_intent
from towpath_gitops.delivery.standing import Standing, State, disagreements, is_elsewhere, standing
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

NOBODY = "http://127.0.0.1:9"  # a registry that would refuse, if it were asked


def _stands(world: "World") -> Standing:
    """Return how staging stands, with a registry that does not answer."""
    registry = Registry(NOBODY)
    desk = Desk(world.repository, LocalForge(world.repository), registry, world.ledger)
    world.repository.fetch()
    policy = policy_of(world.repository)
    assert policy
    pulls = desk.forge.list()
    return standing(desk, registry, policy, "staging", world.model, now=datetime.now(UTC), pulls=pulls)


def test_a_standing_follows_the_world(world: "World", publish: "Publish") -> None:
    """From nothing to serving, proposed, taken back, drifted and stopped, each in its word."""
    good, bad = publish(0.0), publish(1.0)
    assert _stands(world).state is State.UNDECLARED
    world.declare(good)
    assert _stands(world).state is State.NOT_RUNNING
    world.reconcile()
    first = _stands(world)
    assert (first.state, first.served, first.returns) == (State.SERVING, good.id, ())
    assert first.since
    assert first.verified
    assert first.verified.verdict is Verdict.PASS

    commit = world.declare(bad)
    assert _stands(world).state is State.DIVERGED  # nobody has reconciled yet
    world.reconcile()
    desk = Desk(world.repository, LocalForge(world.repository), world.registry, world.ledger)
    pull = propose_rollback(desk, environment="staging", model=world.model, reason="worse")
    serving = _stands(world)
    assert (serving.state, [each.number for each in serving.pulls]) == (State.SERVING, [pull.number])
    assert [(each.release, each.reasons) for each in serving.returns] == [(good, ())]

    intent = Intent(release=bad.id, commit=commit, to=good.id, since=datetime.now(UTC), figures="errors")
    write_intent(world.repository.root, "staging", world.model, intent)
    world.reconcile()
    taken = _stands(world)
    assert (taken.state, taken.served, taken.declared) == (State.DIVERGED, good.id, bad.id)
    assert taken.shift
    assert taken.since == taken.shift.since
    world.target().stop()
    assert _stands(world).state is State.NOT_RUNNING


def test_files_that_are_elsewhere_make_a_way_back_neither_safe_nor_unsafe(world: "World", publish: "Publish") -> None:
    """They would have to be fetched first: nobody is kept waiting for that, and nothing is promised."""
    good, bad = publish(0.0), publish(1.0)
    for release in (good, bad):
        world.declare(release)
        world.reconcile()
    shutil.rmtree(layout.store(world.repository.root) / good.artifact.removeprefix("sha256:"))
    (back,) = _stands(world).returns
    assert back.reasons
    assert is_elsewhere(back)


def test_a_file_that_cannot_be_read_is_told_with_its_place(world: "World") -> None:
    """As is one that is gone."""
    path = layout.environment_path("staging", world.model)
    world.push({path: b"release: ["})
    broken = _stands(world)
    assert (broken.state, path in broken.problem) == (State.UNREADABLE, True)
    world.push({path: None})
    gone = _stands(world)
    assert (gone.state, path in gone.problem) == (State.NO_FILE, True)


def test_aliases_that_name_another_version_are_told(world: "World", publish: "Publish") -> None:
    """Nothing obeys them, but people read them: in the last environment the champion's as well."""
    release = publish()
    world.declare(release, "production")
    world.repository.fetch()
    policy = policy_of(world.repository)
    assert policy
    registry = Registry(NOBODY)
    desk = Desk(world.repository, LocalForge(world.repository), registry, world.ledger)
    stands = standing(desk, registry, policy, "production", world.model, now=datetime.now(UTC))
    right = {"production": release.version, "champion": release.version}
    assert disagreements(policy, "production", stands.deployment, right) == []
    wrong = disagreements(policy, "production", stands.deployment, {"production": release.version, "champion": 99})
    assert wrong == [f"the registry's alias champion names version 99, main declares version {release.version}"]
    assert len(disagreements(policy, "production", stands.deployment, {})) == 2
