"""The guard: what does harm is taken back once and at once, and main is asked to follow, wherever it is cut off."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.declared import read_deployment
from towpath_gitops.delivery.guard import Look, State
from towpath_gitops.delivery.incident import What
from towpath_gitops.delivery.ledger import Event
from towpath_gitops.delivery.shifted import read_intent
from towpath_gitops.errors import DeliveryError, UnavailableError
from towpath_gitops.forges.base import State as PullState
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.deployment import PinnedRelease
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Post, Publish, Releases, World

SCRIPT = Path(__file__).with_name("killed_guard.py")
EFFECTS = ("intend", "shift", "converge", "verify", "record", "propose", "alert")


def test_a_bad_release_is_taken_back_once(post: "Post", live: "Releases") -> None:
    """Traffic moves at once, the ledger and people are told, main is asked; and nothing of it happens twice."""
    found = post.breach()
    assert (found.state, found.release, post.serves) == (State.DIVERGED, live.good, live.good.id)
    entries = post.world.ledger.entries("staging")
    shifted, verified = entries[-2:]
    assert (shifted.event, shifted.release, shifted.to) == (Event.SHIFTED, live.bad.id, live.good.id)
    assert (verified.event, verified.release, verified.verdict) == (Event.VERIFIED, live.good.id, Verdict.PASS)
    (pull,) = post.desk.forge.list(PullState.OPEN)
    assert found.pull == pull.number
    assert "errors 50.0% of 20 requests (limit 5.0%)" in pull.body
    (incident,) = post.told
    assert (incident.what, incident.release, incident.serving) == (What.SHIFTED, live.bad.id, live.good.id)
    assert (incident.pull, incident.command) == (pull.number, f"towpath review {pull.number}")
    again = post.look()
    assert (again.state, again.pull, again.told) == (State.DIVERGED, pull.number, False)
    assert post.desk.forge.list(PullState.OPEN) == [pull]
    assert post.world.ledger.verify() == []
    post.now += timedelta(hours=1)
    assert post.look().told
    assert len(post.world.ledger.entries("staging")) == len(entries)


def test_main_follows_and_the_guard_watches_on(post: "Post", live: "Releases") -> None:
    """Once the rollback is merged nothing moves, nobody is told any more, and the bad release is blocked."""
    number = post.breach().pull
    assert number
    post.desk.forge.merge(number, post.desk.forge.get(number).head)
    outcome = post.world.reconcile()
    assert (outcome.changed, outcome.shift, outcome.release) == (False, None, live.good)
    post.look()
    post.call(20)
    found = post.look()
    assert (found.state, found.incidents, found.release) == (State.WATCHING, (), live.good)
    deployment = read_deployment(post.world.repository, post.world.repository.main(), "staging", post.world.model)
    assert deployment
    assert deployment.blocked == (live.bad.id,)


def test_who_promotes_the_bad_release_again_has_decided(post: "Post", live: "Releases") -> None:
    """It serves, and is watched anew: the guard acts once for each time that main declares it."""
    post.breach()
    post.world.declare(live.good)
    post.world.reconcile()
    post.world.declare(live.bad)
    assert post.world.reconcile().release == live.bad
    assert post.breach().state is State.DIVERGED
    events = [entry.event for entry in post.world.ledger.entries("staging")]
    assert events.count(Event.SHIFTED) == 2


def test_a_person_who_closes_the_pull_request_is_not_nagged(post: "Post", live: "Releases") -> None:
    """The good release goes on serving, DIVERGED; no other pull request is opened."""
    number = post.breach().pull
    assert number
    post.desk.forge.close(number, "Let us mend it forward.")
    found = post.look()
    assert (found.state, found.pull, post.serves) == (State.DIVERGED, None, live.good.id)
    assert post.desk.forge.list(PullState.OPEN) == []


def test_a_rollback_that_somebody_has_proposed_is_adopted(post: "Post", live: "Releases") -> None:
    """Theirs is as good as ours, and its approvals stand."""
    post.look()
    theirs = propose_rollback(post.desk, environment="staging", model=post.world.model, reason="complaints")
    assert post.breach().pull == theirs.number
    assert post.desk.forge.get(theirs.number).head == theirs.head
    assert live.bad.id != live.good.id


def test_without_automatic_a_person_is_asked(post: "Post", live: "Releases") -> None:
    """Nothing moves; whoever is told reads the command that would."""
    post.rule(automatic=False)
    found = post.breach()
    assert (found.state, found.shift, post.serves) == (State.WATCHING, None, live.bad.id)
    (incident,) = post.told
    assert (incident.what, incident.command) == (What.BREACH, "towpath rollback --environment staging")
    assert post.desk.forge.list(PullState.OPEN) == []


def test_without_a_safe_release_people_are_told_and_nothing_moves(post: "Post", publish: "Publish") -> None:
    """The first release has nowhere to go; nor has one whose predecessor is blocked or cannot be loaded."""
    bad = publish(0.0, fails_above=5.0)
    post.world.declare(bad)
    post.world.reconcile()
    found = post.breach()
    assert (found.state, found.incidents[0].what, post.serves) == (State.WATCHING, What.STRANDED, bad.id)
    assert read_intent(post.world.repository.root, "staging", post.world.model) is None


def test_a_way_back_that_does_not_load_is_given_up(post: "Post", live: "Releases") -> None:
    """The bad release goes on serving, which is better than nothing; the ledger says what was tried."""
    folder = layout.store(post.world.repository.root) / live.good.artifact.removeprefix("sha256:")
    damaged = post.world.target().folder / "damaged"
    folder.replace(damaged)

    def broken(release: Release, store: Path) -> Path:
        """Fetch what a worker then cannot read."""
        if release == live.good:
            folder.mkdir(exist_ok=True)
            (folder / "signature.json").write_bytes((damaged / "signature.json").read_bytes())
        return store / release.artifact.removeprefix("sha256:")

    registry = replace_fetch(post.world, broken)
    post.look()
    for _ in range(2):
        post.call(10, 10)
        found = guard_with(post, registry)
    assert (found.incidents[0].what, post.serves) == (What.STRANDED, live.bad.id)
    last = post.world.ledger.last_verified("staging", post.world.model, live.good.id)
    assert last
    assert last.verdict is Verdict.ERROR
    assert read_intent(post.world.repository.root, "staging", post.world.model) is None


def replace_fetch(world: "World", fetch: Any) -> Any:  # noqa: ANN401 (a function and a registry)
    """Return the world's registry with another way to fetch."""
    registry = type(world.registry)(world.registry.tracking_uri)
    registry.fetch = fetch  # type: ignore[method-assign]  # a registry whose files are damaged
    return registry


def guard_with(post: "Post", registry: Any) -> Look:  # noqa: ANN401 (as above)
    """Look once with another registry."""
    return replace(post, world=replace(post.world, registry=registry), now=_later(post)).look()


def _later(post: "Post") -> datetime:
    post.now += timedelta(minutes=1)
    return post.now - timedelta(minutes=1)


def test_no_traffic_is_never_called_healthy(post: "Post", live: "Releases") -> None:
    """However often it is verified, a release that nobody asks is inconclusive; a look too early sees nothing new."""
    for _ in range(5):
        found = post.look()
    assert (found.verdict, found.incidents) == (Verdict.INCONCLUSIVE, ())
    post.now -= timedelta(seconds=50)
    assert "still open" in post.look().notes[0]
    for _ in range(3):
        post.call(10)
        found = post.look()
    assert (found.verdict, post.serves) == (Verdict.PASS, live.bad.id)


def test_a_red_verification_is_harm_without_any_traffic(post: "Post", publish: "Publish") -> None:
    """A release that answers its golden requests wrongly is taken back before anybody complains."""
    good, liar = publish(0.0), publish(1.0, golden_bias=0.5)
    post.world.declare(good)
    post.world.reconcile()
    post.world.declare(liar)
    with pytest.raises(DeliveryError):
        post.world.reconcile()
    for _ in range(3):
        found = post.look()
    assert (found.state, post.serves) == (State.DIVERGED, good.id)
    assert "verification" in post.told[0].figures


def test_a_service_that_does_not_answer_is_not_judged(post: "Post", live: "Releases") -> None:
    """What was seen before says nothing about now, and nothing is moved for it."""
    for _ in range(4):
        post.look()
        post.call(10)
    post.world.target().stop()
    with pytest.raises(UnavailableError, match="cannot be judged now"):
        post.look()
    assert post.world.reconcile().release == live.bad


def test_traffic_moves_without_the_remote(post: "Post", live: "Releases", remote: Path) -> None:
    """Users do not wait for a forge that is down: what is to be written down and asked is so once it is back."""
    post.look()
    post.call(10, 10)
    post.look()
    post.call(10, 10)
    away = remote.rename(remote.with_suffix(".away"))
    found = post.look()
    assert (found.state, post.serves, len(post.told)) == (State.DIVERGED, live.good.id, 1)
    assert any("Not finished" in note for note in found.notes)
    away.rename(remote)
    assert post.world.reconcile().release == live.good
    assert post.look().pull
    assert post.world.ledger.verify() == []


def test_the_guard_waits_for_whoever_moves_the_target(post: "Post", live: "Releases") -> None:
    """A reconcile that is at work keeps its lease; traffic moves when it has given it back, or at the next look."""
    post.look()
    post.call(10, 10)
    post.look()
    post.call(10, 10)
    holder = _other_process(post)
    found = post.look(deadline_s=0.0)
    assert (found.state, post.serves, len(post.told)) == (State.DIVERGED, live.bad.id, 1)
    assert any("Not finished" in note for note in found.notes)
    holder.communicate(b"\n")

    waits: list[float] = []
    holder = _other_process(post)

    def end_it(pause_s: float) -> None:
        waits.append(pause_s)
        if holder.poll() is None:
            holder.communicate(b"\n")

    assert (post.look(sleep=end_it).state, post.serves) == (State.DIVERGED, live.good.id)
    assert waits


def _other_process(post: "Post") -> subprocess.Popen[bytes]:
    """Let another process hold the target's lease until it is written to."""
    script = (
        "import sys; from pathlib import Path; from towpath_gitops.delivery.lease import Lease;"
        "lease = Lease(Path(sys.argv[1])); lease.acquire(); print(flush=True); input(); lease.release()"
    )
    arguments = [sys.executable, "-c", script, str(post.world.target().folder)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    return process


def test_an_alert_that_does_not_arrive_is_sent_again(post: "Post", live: "Releases") -> None:
    """It stops nothing, and the next look tries once more."""
    post.look()
    for _ in range(2):
        post.call(10, 10)
        found = post.look(alert=lambda _: False)
    assert (found.state, found.told, post.serves) == (State.DIVERGED, False, live.good.id)
    assert post.look().told


def test_a_challenger_that_fails_is_told_of(post: "Post", publish: "Publish") -> None:
    """It is watched in its own lane, by its own golden requests; the champion is not blamed for it."""
    champion, challenger = publish(0.0), publish(1.0, golden_bias=0.5)
    experiment = {"challenger": PinnedRelease.of(challenger).plain(), "mode": "ab", "share": 0.1}
    post.world.declare(champion, experiment=experiment)
    post.world.reconcile()
    for _ in range(3):
        found = post.look()
    assert (found.state, found.verdict) == (State.WATCHING, Verdict.INCONCLUSIVE)
    assert found.judgements["challenger"].verdict is Verdict.FAIL
    (incident,) = post.told
    assert (incident.what, incident.release) == (What.CHALLENGER, challenger.id)
    assert incident.command == "towpath experiment stop --environment staging"


def test_nothing_is_guarded_that_nobody_asked_for(post: "Post", publish: "Publish") -> None:
    """Without a release, or without a `guard` in the policy, there is nothing to do."""
    assert post.look().state is State.UNDECLARED
    post.world.declare(publish())
    post.world.push({layout.POLICY: (post.world.repository.read(post.world.repository.main(), layout.POLICY) or "")
                     .split("    guard:")[0].encode() + b"  - name: production\n"})  # fmt: skip
    assert post.look().state is State.UNGUARDED


def test_killed_before_any_effect_the_next_look_ends_the_same(post: "Post", live: "Releases") -> None:
    """At each point: the good release serves in the end, one entry, one pull request, one alert."""
    post.rule(bad=1, of=1, window="50ms")
    for shifts, effect in enumerate(EFFECTS, start=1):
        post.look(clock=lambda: datetime.now(UTC))
        post.call(10, 10)
        time.sleep(0.05)  # the window
        arguments = [
            str(post.world.repository.root), post.world.registry.tracking_uri, post.world.model, effect,
            *post.world.command,
        ]  # fmt: skip
        run = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
        assert run.returncode == -signal.SIGKILL, (effect, run.stderr)
        assert post.serves in {live.good.id, live.bad.id}
        if effect == "intend":  # nothing had been decided yet: the next window decides
            post.call(10, 10)
            time.sleep(0.05)
        post.told.clear()
        found = post.look(clock=lambda: datetime.now(UTC))
        assert (found.state, post.serves, len(post.told)) == (State.DIVERGED, live.good.id, 1), effect
        events = [entry.event for entry in post.world.ledger.entries("staging")]
        assert (events.count(Event.SHIFTED), len(post.desk.forge.list(PullState.OPEN))) == (shifts, 1), effect
        assert post.world.reconcile().changed is False
        _decide_anew(post, live)
    assert post.world.ledger.verify() == []


def _decide_anew(post: "Post", live: "Releases") -> None:
    """Merge the rollback, then let somebody promote the bad release once more."""
    (pull,) = post.desk.forge.list(PullState.OPEN)
    post.desk.forge.merge(pull.number, pull.head)
    post.world.declared["staging"] = PinnedRelease.of(live.good)
    post.world.reconcile()
    post.world.declare(live.bad)
    post.world.reconcile()
