"""The loudest complaints about delivery from git elsewhere, each tried here with real parts, and impossible."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops.delivery.desired import policy_of
from towpath_gitops.delivery.guard import State
from towpath_gitops.delivery.standing import Standing, standing
from towpath_gitops.delivery.sweep import Sweeper
from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import State as PullState
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Post, Releases

SCRIPT = Path(__file__).with_name("killed_guard.py")


def _automation(post: "Post") -> None:
    """Do what timers do: reconcile the place, sweep all places, look; none of it twice the same way."""
    post.world.reconcile()
    targets = {"local": post.world.make_target}
    swept = Sweeper(repository=post.world.repository, registry=post.world.registry, targets=targets).sweep()
    assert swept.failures == ()
    post.look()


def test_git_and_reality_disagree_after_an_abort(post: "Post", live: "Releases") -> None:
    """Never unknown to anybody: cut off in the middle, it is finished, told in four places, and ends with main."""
    post.rule(bad=1, of=1, window="50ms")
    post.look(clock=lambda: datetime.now(UTC))
    post.call(10, 10)
    time.sleep(0.05)  # the window
    world = post.world
    arguments = [str(world.repository.root), world.registry.tracking_uri, world.model, "record", *world.command]
    run = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL

    for _ in range(3):
        _automation(post)
        assert post.serves == live.good.id
    stands = _standing(post)
    assert (stands.state, stands.declared, stands.served) == ("DIVERGED", live.bad.id, live.good.id)
    assert stands.shift
    assert stands.since == stands.shift.since  # the timer's beginning
    (pull,) = post.desk.forge.list(PullState.OPEN)
    assert pull.number == stands.pulls[0].number
    assert [incident.pull for incident in post.told] == [pull.number]
    assert world.ledger.verify() == []

    post.desk.forge.merge(pull.number, pull.head)
    outcome = world.reconcile()
    assert (outcome.changed, outcome.shift, outcome.verdict) == (False, None, Verdict.PASS)
    after = _standing(post)
    assert (after.state, after.declared, after.served) == ("serving", live.good.id, live.good.id)


def test_automation_undoes_a_rollback(post: "Post", live: "Releases") -> None:
    """It cannot: no timer swings traffic back, and a scheduled promotion of what was taken back is refused."""
    assert post.breach().state is State.DIVERGED
    for _ in range(3):
        _automation(post)
        assert post.serves == live.good.id
    (pull,) = post.desk.forge.list(PullState.OPEN)
    post.desk.forge.merge(pull.number, pull.head)
    for _ in range(2):
        _automation(post)
        assert post.serves == live.good.id
    again = propose_promotion(post.desk, environment="staging", release=live.bad, reason="every night")
    assert "blocked" in {reason.rule for reason in review(post.desk, again.number).reasons}
    with pytest.raises(RefusedError):
        merge_reviewed(post.desk, again.number)
    _automation(post)
    assert (post.serves, post.world.reconcile().release) == (live.good.id, live.good)


def _standing(post: "Post") -> Standing:
    policy = policy_of(post.world.repository)
    assert policy
    now, pulls = post.now + timedelta(minutes=1), post.desk.forge.list(PullState.OPEN)
    return standing(post.desk, post.world.registry, policy, "staging", post.world.model, now=now, pulls=pulls)
