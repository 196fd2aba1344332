# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""GitHub that is slow, cut off, at its limits, or has acted without saying so: what is done is done exactly once."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from proxy import Fault, Reply, serve

from towpath_gitops.errors import ConflictError, RefusedError, UnavailableError, UnreviewedMergeError
from towpath_gitops.forges.base import Progress, State
from towpath_gitops.forges.github.client import PATIENCE_S, TRIES, Api
from towpath_gitops.forges.github.forge import GitHubForge

SECONDARY: Final = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "429": {"status": 429, "headers": {"retry-after": "7"}},
    "secondary limit": {"status": 403, "headers": {"retry-after": "7"}, "message": SECONDARY},
    "primary limit": {"status": 403, "headers": {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}},
    "502 after it acted": {"status": 502, "passed_on": True},
    "reset": {"reset": True},
    "reset after it acted": {"reset": True, "passed_on": True},
    "half an answer": {"cut": True, "passed_on": True},
    "late after it acted": {"reset": True, "passed_on": True, "late_s": 1.3},
}
CREATING: Final = {
    "open": r"POST /repos/acme/flights/pulls$",
    "approve": r"POST .*/reviews$",
    "check": r"POST .*/(check-runs|comments)$",
    "comment": r"POST .*/comments$",
    "merge": r"PUT .*/merge$",
    "deploy": r"POST .*/(deployments|statuses)$",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_once_everything_is_done_once(github_house: Any, fault: str) -> None:
    """One pull request, one approval, one remark, one verdict, one merge, one deployment; at the first command."""
    house = github_house
    house.branch("b")

    def upset(what: str) -> None:
        late = {"late_s": 0.0} if what != "open" else {}  # waiting once is enough
        house.proxy.faults.append(Fault(CREATING[what], **{**FAULTS[fault], **late}))

    ada, grace, robot = (_hasty(house, name) for name in ("ada", "grace", "robot"))
    upset("open")
    pull = ada.open(branch="b", title="t", body="b", data="d", labels=["x"])
    upset("approve")
    grace.approve(1)
    upset("comment")
    grace.comment(1, "Fine.")
    upset("check")
    robot.check(1, head=pull.head, ok=True, title="Yes", summary="")
    upset("merge")
    merged = ada.merge(1, pull.head, expected_base=house.main())
    upset("deploy")
    robot.deployed(commit=merged.merged, environment="staging", state=Progress.SUCCESS, description="ok")
    assert [each.left for each in house.proxy.faults] == [0] * len(CREATING)
    assert [(pull.number, pull.state) for pull in ada.list()] == [(1, State.MERGED)]
    assert [review["state"] for review in house.fake.pulls[1]["reviews"]] == ["APPROVED"]
    assert len(house.fake.comments) == 2
    assert house.ada.log(house.main())[0].sha == merged.merged == ada.get(1).merged
    assert len(house.ada.log(house.main())) == 2
    assert ada.get(1).check.ok
    assert len(house.fake.deployments) == 1
    assert sum(house.slept) <= PATIENCE_S * len(CREATING)


def _hasty(house: Any, name: str) -> GitHubForge:
    """Return a forge that waits a second for an answer."""
    api = Api(house.proxy.address, f"token-of-{name}", sleep=house.slept.append, timeout_s=1)
    return GitHubForge(house.person(name), "acme/flights", api)


@pytest.mark.parametrize("acted", [True, False])
def test_a_closing_that_is_cut_off_says_why_once(github_house: Any, acted: bool) -> None:  # noqa: FBT001 (a parameter)
    """The command gives up between the remark and the end; run again, it is finished and nothing is said twice."""
    house = github_house
    house.open("b")
    house.proxy.faults.append(Fault("PATCH .*/pulls/1$", reset=True, passed_on=acted, left=TRIES))
    with pytest.raises(UnavailableError):
        house.forge().close(1, "No.")
    assert (house.fake.pulls[1]["state"] == "closed") == acted
    closed = house.forge().close(1, "No.")
    assert (closed.state, [remark.text for remark in closed.comments]) == (State.CLOSED, ["No."])
    house.ada.fetch()
    assert house.ada.tip("refs/heads/b") is None


@pytest.mark.parametrize("acted", [True, False])
def test_a_merge_whose_answers_are_all_lost_is_looked_for(github_house: Any, acted: bool) -> None:  # noqa: FBT001 (a parameter)
    """When it was done all is well; when not, the error is the one that may be repeated, and repeating merges once."""
    house = github_house
    pull = house.open("b")
    house.proxy.faults.append(Fault(CREATING["merge"], reset=True, passed_on=acted, left=TRIES))
    if not acted:
        with pytest.raises(UnavailableError, match="no answer"):
            house.forge().merge(1, pull.head)
        assert house.forge().get(1).state is State.OPEN
    assert house.forge().merge(1, pull.head).state is State.MERGED
    assert len(house.ada.log(house.main())) == 2


def test_an_answer_that_is_no_json_is_none(github_house: Any) -> None:
    """A page of words under a good status is tried again, and is no success."""
    page = serve(lambda _: Reply(200, b"<html>busy</html>", {}))
    api = Api(f"http://127.0.0.1:{page.server_port}", "t", sleep=github_house.slept.append)
    with pytest.raises(UnavailableError, match="no answer"):
        api.get("/user")
    assert len(github_house.slept) == TRIES - 1
    page.shutdown()
    page.server_close()


def test_a_github_that_is_gone_is_said_to_be_gone_and_later_one_pull_request_results(github_house: Any) -> None:
    """Tries are bounded; the error is the one that may be repeated; what was cut off is finished by repeating it."""
    house = github_house
    house.branch("b")
    house.proxy.faults.append(Fault(CREATING["open"], reset=True, passed_on=True))
    house.proxy.faults.append(Fault("GET .*/pulls$", status=502, left=TRIES))
    before = len(house.proxy.seen)
    with pytest.raises(UnavailableError, match=r"GitHub fails \(502\)"):
        house.open("b", push=False)
    assert len(house.proxy.seen) - before == TRIES
    house.proxy.faults[1:] = [Fault("GET .*/reviews$", reset=True, left=TRIES)]
    with pytest.raises(UnavailableError, match="gives no answer"):
        house.open("b", push=False)
    assert house.open("b", push=False).data == "{}\n"
    assert [pull.number for pull in house.forge().list()] == [1]
    assert house.slept


def test_a_limit_that_lasts_is_not_waited_for(github_house: Any) -> None:
    """The error says when to come back."""
    forge = github_house.forge()
    object.__setattr__(forge.api, "now", lambda: 1_780_000_000.0)
    reset = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1780003000"}
    github_house.proxy.faults.append(Fault("GET", status=403, headers=reset, message="API rate limit exceeded"))
    with pytest.raises(UnavailableError, match="used up") as caught:
        forge.list()
    assert "after 21:16 UTC" in caught.value.hint
    assert github_house.slept == []


def test_a_secondary_limit_without_a_time_is_waited_for_a_minute(github_house: Any) -> None:
    """As GitHub advises; a server that fails is asked again sooner."""
    api = github_house.forge().api
    github_house.proxy.faults.append(Fault("GET", status=403, message=SECONDARY))
    assert api.get("/user")["login"] == "ada"
    github_house.proxy.faults.append(Fault("GET", status=502, left=2))
    assert api.get("/user")["login"] == "ada"
    assert github_house.slept == [PATIENCE_S, 0.25, 0.5]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 410, 422, 451])
def test_a_refusal_is_final(github_house: Any, status: int) -> None:
    """No second try, and not the error that invites one."""
    github_house.proxy.faults.append(Fault("GET", status=status, message="No."))
    with pytest.raises(Exception, match=r"No\.") as caught:
        github_house.forge().api.get("/user")
    assert not isinstance(caught.value, UnavailableError)
    assert len(github_house.proxy.seen) == 1
    assert github_house.slept == []


def test_a_hundred_and_more_of_everything_are_read(github_house: Any) -> None:
    """Pull requests, reviews, remarks, pushes and members of a team go on over many pages."""
    house = github_house
    main = house.main()
    for number in range(120):
        house.fake.add_pull(f"old{number}", main, "grace")["state"] = "closed"
    pull = house.open("b")
    assert pull.number == 121
    assert [found.number for found in house.forge().list()] == list(range(1, 122))
    assert house.open("b", push=False) == pull
    house.fake.me = "grace"
    for number in range(120):
        house.fake.add_comment("121", body={"body": f"{number}"})
        house.fake.add_review("121", body={"event": "REQUEST_CHANGES", "commit_id": pull.head})
    approved = house.forge("grace").approve(121)
    assert ([remark.text for remark in approved.comments], len(approved.approvals)) == ([*map(str, range(120))], 1)
    house.fake.teams["acme/all"] = tuple(f"p{number}" for number in range(250))
    assert len(house.forge().members("@acme/all")) == 250
    with (house.remote / "pushes.log").open("a") as log:
        log.writelines(f"{who}@example.org {main} {main} refs/heads/b\n" for who in ["mallory", *["ada"] * 150])
    assert house.forge().writers(pull) == {"@ada", "@mallory"}


def test_two_who_open_at_once_open_one(github_house: Any) -> None:
    """GitHub refuses the second, which then adopts the first."""
    house = github_house
    house.branch("b")
    clones = [house.clone(name) for name in ("grace", "mallory")]

    def act(name: str, clone: Any) -> Any:
        return house.github(name, clone).open(branch="b", title="t", body="", data="d")

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(act, ("grace", "mallory"), clones)
    assert one.number == other.number == 1
    assert len(house.fake.pulls) == 1


def test_a_main_that_moves_in_the_very_instant_is_said(github_house: Any) -> None:
    """GitHub holds the head still, not the base: the merge stands, and nobody is told that all is well."""
    house = github_house
    pull, main = house.open("b"), house.main()
    house.fake.before_merge = lambda: house.fake.pulls and house.move_main()
    with pytest.raises(UnreviewedMergeError, match="onto another main") as caught:
        house.forge().merge(1, pull.head, expected_base=main)
    assert f"{main[:12]}.." in caught.value.hint
    assert house.forge().get(1).state is State.MERGED


def test_a_head_that_moves_in_the_very_instant_is_a_conflict(github_house: Any) -> None:
    """GitHub merges the commit that was reviewed or none."""
    house = github_house
    pull = house.open("b")

    def move() -> None:
        house.branch("b", content=b"2")
        house.fake.pulls[1]["head"] = "0" * 40

    house.fake.before_merge = move
    with pytest.raises(ConflictError, match="moved on"):
        house.forge().merge(1, pull.head)
    assert house.forge().get(1).state is State.OPEN


def test_a_rule_of_github_stops_a_merge(github_house: Any) -> None:
    """In GitHub's own words, and for good."""
    pull = github_house.open("b")
    github_house.fake.refuses_merges = "At least 1 approving review is required by reviewers with write access."
    with pytest.raises(RefusedError, match="approving review is required"):
        github_house.forge().merge(1, pull.head)
    assert github_house.slept == []
