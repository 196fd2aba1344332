# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""A promotion from proposal to merge on GitHub: our own, with real git behind it and GitHub's description before it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import RefusedError
from towpath_gitops.forges import open_forge
from towpath_gitops.forges.base import Progress, State
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import merge_reviewed, review

sys.path.append(str(Path(__file__).parents[1] / "forges"))
from fake_github import NAME, ROBOT, FakeGitHub
from proxy import Proxy

PEOPLE = ("ada", "grace", "mallory", "eve")


@pytest.fixture
def github(world: Any) -> Iterator[FakeGitHub]:
    """GitHub on this machine; main's policy names it, and a team owns what is released."""
    emails = {f"{name}@example.org": name for name in PEOPLE}
    tokens = {f"token-of-{name}": name for name in PEOPLE} | {"token-of-robot": ROBOT}
    fake = FakeGitHub(world.folder / "remote.git", tokens, emails, {"acme/owners": ("ada", "Grace", "mallory")})
    proxy = Proxy(fake.port)
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    forge = f"forge: {{kind: github, repository: {NAME}, api: '{proxy.address}'}}\n"
    world.push({layout.POLICY: policy + forge, layout.CODEOWNERS: "/gitops/ @Acme/owners\n"})
    yield fake
    proxy.close()
    fake.close()
    assert proxy.violations == []


@pytest.fixture
def desk(world: Any, github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Desk]:
    """Return a function that opens the desk of a person, or of the workflow, as the command line would."""
    assert github

    def opened(name: str) -> Desk:
        monkeypatch.setenv("GITHUB_TOKEN", f"token-of-{name}")
        repository = world.person(name)
        forge = open_forge(repository, declared.policy(repository, repository.main()).forge)
        return Desk(repository, forge, world.store, world.desk().history)

    return opened


def test_a_release_goes_its_way_on_github(world: Any, github: FakeGitHub, desk: Callable[[str], Desk]) -> None:
    """Proposed, refused, approved by the right person, shown, merged exactly as reviewed, and told as deployed."""
    release = world.register(1)
    pull = propose_promotion(desk("ada"), environment="staging", release=release, reason="retrain", now=world.now)
    assert (pull.author, pull.labels) == ("@ada", ("promote", "staging", "flights"))
    assert json.loads(pull.data)["environment"] == "staging"
    again = propose_promotion(desk("ada"), environment="staging", release=release, reason="retrain", now=world.now)
    assert (again, len(github.pulls)) == (pull, 1)

    before = review(desk("robot"), 1, now=world.now)
    assert [reason.rule for reason in before.reasons] == ["approvals"]
    assert "@grace, @mallory" in str(before)
    _publish(desk("robot"), before)
    with pytest.raises(RefusedError, match="0 of 1 approvals"):
        merge_reviewed(desk("ada"), 1, now=world.now)

    desk("grace").forge.approve(1)
    after = review(desk("robot"), 1, now=world.now)
    assert (after.ok, after.approved_by) == (True, ("@grace",))
    _publish(desk("robot"), after)
    assert [(run["name"], run["conclusion"]) for run in github.checks] == [("towpath/review", "success")]
    (comment,) = github.comments
    assert comment["body"].startswith("<!-- towpath: review -->\n### ✅ ")

    merged = merge_reviewed(desk("grace"), 1, now=world.now)
    info = world.ada.info(merged.merged)
    assert (merged.state, world.declared("staging")) == (State.MERGED, release)
    assert info.parents == (after.main, after.head)
    assert (info.trailers("Towpath-Pull"), info.trailers("Approved-by")) == (("1",), ("@grace",))
    assert world.ada.tip(f"refs/heads/{pull.branch}") is None
    told = {"commit": info.sha, "environment": "staging", "description": str(release)}
    desk("robot").forge.deployed(state=Progress.SUCCESS, **told)
    assert [each["environment"] for each in github.deployments] == ["staging"]


def test_nobody_who_had_a_hand_in_it_approves_though_a_team_owns_it(
    world: Any, github: FakeGitHub, desk: Callable[[str], Desk]
) -> None:
    """Mallory owns, but has pushed a commit that claims to be Ada's; Eve owns nothing; the author cannot; Grace can."""
    pull = propose_promotion(desk("ada"), environment="staging", release=world.register(1), reason="r", now=world.now)
    forged = world.ada.commit([pull.head], pull.head, {}, "As Ada")
    world.person("mallory").push(forged, f"refs/heads/{pull.branch}", pull.head)
    with pytest.raises(RefusedError, match="Can not approve your own"):
        desk("ada").forge.approve(1)
    for name in ("mallory", "eve"):
        desk(name).forge.approve(1)
    (reason,) = review(desk("robot"), 1, now=world.now).reasons
    assert "@mallory (wrote it)" in reason.what
    assert "@eve (does not own" in reason.what
    assert "One of @grace runs" in reason.mend
    desk("grace").forge.approve(1)
    assert review(desk("robot"), 1, now=world.now).approved_by == ("@grace",)
    assert merge_reviewed(desk("grace"), 1, now=world.now).state is State.MERGED
    assert len(github.pulls) == 1


def test_a_newer_proposal_closes_the_older_with_a_link(
    world: Any, github: FakeGitHub, desk: Callable[[str], Desk]
) -> None:
    """One open promotion for an environment and model, on GitHub as anywhere."""
    for version in (1, 2):
        release = world.register(version)
        propose_promotion(desk("ada"), environment="staging", release=release, reason="r", now=world.now)
    first, second = desk("ada").forge.get(1), desk("ada").forge.get(2)
    assert (first.state, second.state) == (State.CLOSED, State.OPEN)
    assert first.comments[-1].text.startswith("Superseded by #2")
    assert len(github.comments) == 1


def _publish(desk: Desk, found: Any) -> None:
    """Show a verdict as `towpath review --publish` does."""
    title = "It may be merged" if found.ok else "It may not be merged yet"
    desk.forge.check(found.number, head=found.head, ok=found.ok, title=title, summary=str(found))
