# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""What is peculiar to GitHub: who is who there, what is shown beside a pull request, and where the token goes."""

import logging
import os
from typing import Any

import pytest
from proxy import Fault, Reply, serve
from samples import filled

from towpath_gitops.errors import InvalidFileError, RefusedError, TowpathError
from towpath_gitops.forges import open_forge
from towpath_gitops.forges.base import BranchRules, EnvironmentRules, Progress, State
from towpath_gitops.forges.github.answers import STICKY
from towpath_gitops.forges.github.client import Api, token_from
from towpath_gitops.forges.github.decisions import DECISIONS
from towpath_gitops.forges.github.forge import GitHubForge
from towpath_gitops.git import Git
from towpath_gitops.records.policy import GitHubSettings

TOKEN = "ghp_canary0123456789"  # noqa: S105 (a canary: it must never be seen again)


# --- who is who -------------------------------------------------------------------------------------------------------


def test_a_team_stands_for_its_members(github_house: Any) -> None:
    """A person for themselves; an address for nobody, and a team that GitHub does not know for nobody either."""
    github_house.fake.teams["acme/owners"] = ("Grace", "mallory")
    forge = github_house.forge()
    assert forge.members("@acme/owners") == {"@grace", "@mallory"}
    assert forge.members("@Grace") == {"@grace"}
    assert forge.members("grace@example.org") == forge.members("@acme/nobody") == frozenset()


def test_a_team_that_may_not_be_read_is_no_empty_team(github_house: Any) -> None:
    """The token lacks a right: that is said, rather than that nobody owns the file."""
    github_house.fake.hidden_teams.add("acme/owners")
    with pytest.raises(RefusedError, match="may not do this"):
        github_house.forge().members("@acme/owners")


def test_whoever_pushes_a_branch_is_a_writer_whatever_their_commits_claim(github_house: Any) -> None:
    """An address can be claimed by anybody: Mallory writes as Ada, and GitHub knows who pushed."""
    house = github_house
    pull = house.open("b")
    forged = house.ada.commit([pull.head], pull.head, {"g": b"1"}, "As Ada")
    house.person("mallory").push(forged, "refs/heads/b", pull.head)
    assert house.forge().writers(house.forge().get(1)) == {"@ada", "@mallory"}


def test_who_pushed_a_branch_of_the_same_name_before_is_no_writer(github_house: Any) -> None:
    """Only pushes since the branch was made count."""
    house = github_house
    house.open("b", "mallory")
    house.forge().close(1, "No.")
    assert house.forge().writers(house.open("b", "grace")) == {"@grace"}


def test_an_address_of_nobody_is_kept_as_it_is(github_house: Any) -> None:
    """GitHub cannot say whose it is; whoever pushed it counts."""
    house = github_house
    house.branch("b", repository=house.ada)
    stranger = house.ada.acting_as("Somebody", "somebody@example.org")
    tip = house.ada.tip("refs/heads/b")
    house.ada.push(stranger.commit([tip], tip, {"g": b"1"}, "More"), "refs/heads/b", tip)
    assert house.forge().writers(house.open("b", push=False)) == {"@ada", "somebody@example.org"}


@pytest.mark.parametrize("state", ["CHANGES_REQUESTED", "DISMISSED"])
def test_an_approval_that_is_taken_back_is_none(github_house: Any, state: str) -> None:
    """Whether by its giver, who now asks for changes, or by somebody who dismissed it."""
    house = github_house
    house.open("b")
    assert len(house.forge("grace").approve(1).approvals) == 1
    reviews = house.fake.pulls[1]["reviews"]
    reviews.append(reviews[0] | {"id": 99, "state": state})
    assert house.forge().get(1).approvals == ()
    assert len(house.forge("grace").approve(1).approvals) == 1


def test_nobody_approves_their_own(github_house: Any) -> None:
    """GitHub itself says no."""
    github_house.open("b")
    with pytest.raises(RefusedError, match="Can not approve your own"):
        github_house.forge().approve(1)


def test_a_workflow_is_no_person(github_house: Any) -> None:
    """Its token cannot approve in anybody's name."""
    github_house.open("b")
    with pytest.raises(RefusedError, match="not accessible by integration"):
        github_house.github("robot").approve(1)


# --- what is none of ours ---------------------------------------------------------------------------------------------


def test_a_pull_request_from_a_fork_is_none_of_ours(github_house: Any) -> None:
    """It is neither listed nor found by its branch's name, which anybody can choose; asked for, it is refused."""
    house = github_house
    house.branch("b")
    house.fake.add_pull("b", house.ada.tip("refs/heads/b"), "mallory")["from"] = "mallory/flights"
    assert house.forge().list() == []
    assert house.forge().find("b") is None
    with pytest.raises(RefusedError, match="none of ours"):
        house.forge().get(1)


def test_a_pull_request_to_another_branch_is_none_of_ours(github_house: Any) -> None:
    """Merged, it would not change main."""
    house = github_house
    house.branch("b")
    house.fake.add_pull("b", house.ada.tip("refs/heads/b"), "ada", base="release")
    assert house.forge().list() == []
    with pytest.raises(RefusedError, match="lead to main"):
        house.forge().get(1)


def test_what_people_call_their_branches_and_titles_breaks_no_list(github_house: Any) -> None:
    """A branch that no proposal could have is left out; a title is one line without tricks."""
    house = github_house
    head = house.ada.tip("refs/heads/" + house.branch("b"))
    house.ada.push(head, "refs/heads/fix+me", None)
    house.fake.add_pull("fix+me", head, "mallory")
    house.fake.add_pull("b", head, "mallory", "a\u202eb\nc")
    (pull,) = house.forge().list()
    assert (pull.number, pull.title) == (2, "a b c")


def test_an_answer_that_is_not_githubs_is_refused(github_house: Any) -> None:
    """What stands in between is not believed."""
    house = github_house
    house.open("b")
    house.fake.spoil = lambda answer: (
        answer | {"head": None} if isinstance(answer, dict) and "head" in answer else answer
    )
    with house.proxy.tolerant() as violations, pytest.raises(TowpathError):
        house.forge().get(1)
    assert violations
    wrong = serve(lambda _: Reply(200, b'{"login": 3}', {}))
    with pytest.raises(InvalidFileError, match="not what its API promises"):
        GitHubForge(house.ada, "acme/flights", Api(f"http://127.0.0.1:{wrong.server_port}", TOKEN)).identity()
    wrong.shutdown()
    wrong.server_close()


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_workflow_shows_one_check_run_and_one_comment_edited_in_place(github_house: Any) -> None:
    """For each head one run; the comment is always the same."""
    house = github_house
    pull, robot = house.open("b"), github_house.github("robot")
    for ok in (False, False, True):
        robot.check(1, head=pull.head, ok=ok, title="Verdict", summary="- why")
    house.branch("b", content=b"2")
    moved = robot.get(1)
    assert moved.check is None
    robot.check(1, head=moved.head, ok=False, title="Again", summary="- no approval")
    assert [(run["name"], run["head_sha"], run["conclusion"]) for run in house.fake.checks] == [
        ("towpath/review", pull.head, "success"),
        ("towpath/review", moved.head, "failure"),
    ]
    (comment,) = house.fake.comments
    assert comment["body"].startswith(f"{STICKY}\n### ❌ Again\n\n- no approval")
    assert house.fake.statuses == []


def test_a_person_shows_a_status_instead(github_house: Any) -> None:
    """GitHub lets only apps make check runs; a required check takes either."""
    pull = github_house.open("b")
    github_house.forge().check(1, head=pull.head, ok=True, title="Yes", summary="")
    assert [each["status"]["context"] for each in github_house.fake.statuses] == ["towpath/review"]


def test_a_strangers_comment_is_never_edited(github_house: Any) -> None:
    """Whoever writes the mark first does not get to say what the verdict was."""
    house = github_house
    pull = house.open("b")
    house.forge("mallory").comment(1, f"{STICKY}\nIt is approved, trust me.")
    for _ in range(2):
        house.github("robot").check(1, head=pull.head, ok=False, title="No", summary="")
    assert [comment["user"]["login"] for comment in house.fake.comments] == ["mallory", "github-actions[bot]"]
    assert "trust me" in house.fake.comments[0]["body"]


def test_of_two_comments_that_were_written_at_once_one_stays(github_house: Any) -> None:
    """The next verdict is shown in the first."""
    house = github_house
    pull, robot = house.open("b"), github_house.github("robot")
    for text in (f"{STICKY}\none", f"{STICKY}\ntwo"):
        robot.comment(1, text)
    robot.check(1, head=pull.head, ok=True, title="Yes", summary="")
    (comment,) = house.fake.comments
    assert "### ✅ Yes" in comment["body"]


def test_a_deployment_is_one_with_its_states(github_house: Any) -> None:
    """The same state again is not told twice; another environment is another deployment."""
    house = github_house
    main, robot = house.main(), github_house.github("robot")
    for environment, state in (("staging", Progress.IN_PROGRESS), ("staging", Progress.SUCCESS)):
        for _ in range(2):
            robot.deployed(commit=main, environment=environment, state=state, description="flights 1.0.0")
    robot.deployed(commit=main, environment="production", state=Progress.FAILURE, description="x" * 200)
    states = [
        (each["environment"], [status["state"] for status in each["statuses"]]) for each in house.fake.deployments
    ]
    assert states == [("staging", ["in_progress", "success"]), ("production", ["failure"])]


def test_the_decision_document_lies_in_git_with_every_version(github_house: Any) -> None:
    """On a ref of its own, whatever people make of the pull request's text."""
    house = github_house
    house.open("b", data="1")
    house.open("b", push=False, data="2")
    house.fake.pulls[1]["body"] = "edited by hand"
    assert (house.forge().get(1).data, house.forge().get(1).body) == ("2", "edited by hand")
    versions = [house.ada.read(each.sha, "0/00/01/decision.json") for each in house.ada.log(house.ada.tip(DECISIONS))]
    assert versions == ["2", "1"]


def test_a_link_is_a_page_and_of_an_image_the_image(github_house: Any) -> None:
    """On github.com, whose API lives on another host, as on a server of one's own."""
    commit = "0" * 40

    def link(address: str, path: str) -> str:
        return GitHubForge(github_house.ada, "acme/flights", Api(address, TOKEN)).link(commit, path)

    assert link("https://api.github.com", "a b.md") == f"https://github.com/acme/flights/blob/{commit}/a%20b.md"
    assert (
        link("https://git.acme.org/api/v3", "p.png")
        == f"https://git.acme.org/acme/flights/blob/{commit}/p.png?raw=true"
    )


def test_safeguards_join_rulesets_branch_protection_and_environments(github_house: Any) -> None:
    """The stricter of both counts; reviewers are named as in CODEOWNERS."""
    fake = github_house.fake
    about = {"ruleset_source_type": "Repository", "ruleset_source": "acme/flights", "ruleset_id": 7}
    review = {
        "required_approving_review_count": 1,
        "require_code_owner_review": True,
        "require_last_push_approval": False,
    }
    review |= {"dismiss_stale_reviews_on_push": False, "required_review_thread_resolution": False}
    checks = {"required_status_checks": [{"context": "towpath/review"}], "strict_required_status_checks_policy": True}
    fake.rules = [
        {"type": "pull_request", "parameters": review} | about,
        {"type": "required_status_checks", "parameters": checks} | about,
        {"type": "non_fast_forward"} | about,
    ]
    fake.rulesets = {7: {"name": "main", "bypass_actors": [{"actor_id": 5, "actor_type": "RepositoryRole"}]}}
    fake.protection = {
        "required_pull_request_reviews": {"required_approving_review_count": 2, "dismiss_stale_reviews": True}
        | {"require_code_owner_reviews": False},
        "required_status_checks": {"contexts": ["tests"], "checks": [], "strict": False},
        "enforce_admins": {"url": "https://github.test/x", "enabled": False},
        "allow_deletions": {"enabled": False},
    }
    team = {"type": "Team", "reviewer": filled("team", slug="owners", type="organization")}
    person = {"type": "User", "reviewer": fake.user("grace")}
    rule = {"id": 1, "node_id": "x", "type": "required_reviewers", "prevent_self_review": True}
    fake.environments = [
        _environment("production", [rule | {"reviewers": [person, team]}]),
        _environment("staging", []),
    ]
    fake.codeowners_errors = [_codeowners_error()]
    found = github_house.forge().safeguards()
    assert found.branch == BranchRules(
        pull_required=True,
        approvals=2,
        owners_approve=True,
        fresh_approvals=True,
        checks=("tests", "towpath/review"),
        up_to_date=True,
        rewritable=False,
        deletable=False,
        bypassed_by=("RepositoryRole 5", "administrators"),
    )
    assert found.codeowners_errors == ("line 3: Unknown owner",)
    assert found.environments == (
        EnvironmentRules(
            name="production", reviewers=("@grace", "@acme/owners"), self_review=False, protected_branches_only=True
        ),
        EnvironmentRules(name="staging", reviewers=(), self_review=True, protected_branches_only=True),
    )


def test_who_may_bypass_is_unknown_where_the_token_may_not_see_it(github_house: Any) -> None:
    """Which is not the same as nobody."""
    fake = github_house.fake
    about = {"ruleset_source_type": "Repository", "ruleset_source": "acme/flights", "ruleset_id": 7}
    fake.rules, fake.rulesets = [{"type": "deletion"} | about], {7: {"name": "main"}}
    found = github_house.forge().safeguards().branch
    assert (found.deletable, found.rewritable, found.bypassed_by) == (False, True, None)


def _environment(name: str, rules: list[Any]) -> Any:
    address, time = "https://github.test/x", "2026-01-01T00:00:00Z"
    dates = {"created_at": time, "updated_at": time, "url": address, "html_url": address}
    policy = {"protected_branches": True, "custom_branch_policies": False}
    return {
        "id": 1,
        "node_id": "x",
        "name": name,
        "protection_rules": rules,
        "deployment_branch_policy": policy,
    } | dates


def _codeowners_error() -> Any:
    about = {"line": 3, "column": 1, "source": "* @nobody", "kind": "Unknown owner", "suggestion": None}
    return about | {"message": "Unknown owner on line 3", "path": ".github/CODEOWNERS"}


def test_a_bare_branch_has_bare_safeguards(github_house: Any) -> None:
    """Nothing is required, everything allowed, and that is what is told."""
    found = github_house.forge().safeguards()
    assert found.branch.model_dump(exclude_defaults=False) == {
        "pull_required": False,
        "approvals": 0,
        "owners_approve": False,
        "fresh_approvals": False,
        "checks": (),
        "up_to_date": False,
        "rewritable": True,
        "deletable": True,
        "bypassed_by": (),
    }


# --- where the token goes ---------------------------------------------------------------------------------------------


def test_the_token_comes_from_the_environment_alone(github_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """GITHUB_TOKEN before GH_TOKEN; without either the error says what it must be allowed to do."""
    assert token_from({"GITHUB_TOKEN": "a", "GH_TOKEN": "b"}) == "a"
    assert token_from({"GITHUB_TOKEN": "", "GH_TOKEN": "b"}) == "b"
    settings = GitHubSettings(kind="github", repository="acme/flights", api=github_house.proxy.address)
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RefusedError, match="no token"):
        open_forge(github_house.ada, settings)
    monkeypatch.setenv("GH_TOKEN", "token-of-grace")
    assert open_forge(github_house.ada, settings).identity() == "@grace"


@pytest.mark.parametrize(
    "address",
    [
        "http://api.github.com",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "http://10.0.0.1",
        "http://[::ffff:10.0.0.1]",
        "https://169.254.169.254",
        "http://169.254.169.254/latest",
        "https://[fe80::1]/api/v3",
        "http://0x7f.example",
    ],
)
def test_no_token_for_an_address_that_is_not_safe(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http only to this machine; never to where clouds keep their credentials."""
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    with pytest.raises(RefusedError, match="gets no token"):
        Api.of(address)


@pytest.mark.parametrize(
    "address", ["https://api.github.com", "http://127.0.0.1:9/api/v3", "http://[::1]:9", "http://localhost"]
)
def test_a_token_for_an_address_that_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Https anywhere, and this machine."""
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    assert Api.of(address).address == address


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_the_token_elsewhere(github_house: Any, status: int) -> None:
    """Not to another host and not to another port: nobody there is asked anything."""
    asked: list[Any] = []
    elsewhere = serve(lambda exchange: asked.append(exchange) or Reply(200, b"{}", {}))
    for host in (f"localhost:{elsewhere.server_port}", f"127.0.0.1:{elsewhere.server_port}"):
        there = {"location": f"http://{host}/steal"}
        github_house.proxy.faults.append(Fault("GET /user", status=status, headers=there))
        with pytest.raises(TowpathError), github_house.proxy.tolerant():
            github_house.forge().identity()
    assert asked == []
    elsewhere.shutdown()
    elsewhere.server_close()


def test_a_next_page_on_another_host_is_not_read() -> None:
    """Whoever answers does not choose where the token goes."""
    asked: list[Any] = []
    elsewhere = serve(lambda exchange: asked.append(exchange) or Reply(200, b"[]", {}))
    link = {"link": f'<http://127.0.0.1:{elsewhere.server_port}/x>; rel="next"'}
    wrong = serve(lambda _: Reply(200, b"[]", link))
    with pytest.raises(RefusedError, match="another host"):
        list(Api(f"http://127.0.0.1:{wrong.server_port}", TOKEN).pages("/x"))
    assert asked == []
    for server in (elsewhere, wrong):
        server.shutdown()
        server.server_close()


def test_the_token_is_never_seen(github_house: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not in an error, even when GitHub itself repeats it; not in a log, a representation, git or the environment."""
    caplog.set_level(logging.DEBUG)
    forge = GitHubForge(github_house.ada, "acme/flights", Api(github_house.proxy.address, TOKEN, sleep=lambda _: None))
    seen = [repr(forge), repr(forge.api)]
    for status in (301, 400, 401, 403, 404, 409, 422, 429, 502):
        echo = {"location": f"http://elsewhere.test/{TOKEN}"}
        fault = Fault("GET", status=status, headers=echo, message=f"The token {TOKEN} is bad", left=9)
        github_house.proxy.faults[:] = [fault]
        with pytest.raises(TowpathError) as caught:
            forge.api.get("/user")
        seen += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert not any(TOKEN in each for each in [*seen, caplog.text, *os.environ.values()])
    assert Git(github_house.ada.root).attempt("grep", "-q", TOKEN, "HEAD").returncode


def test_what_is_asked_and_done_is_asked_as_whom_the_token_belongs_to(github_house: Any) -> None:
    """Every request carries it, and says which version of the API it means."""
    github_house.open("b")
    assert github_house.forge().list(State.OPEN)
    for exchange in github_house.proxy.seen:
        assert exchange.headers["authorization"] == "token token-of-ada"
        assert exchange.headers["x-github-api-version"] == "2022-11-28"
