# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""The proxy that knows GitHub's description of its API refuses what that does not allow, on both sides."""

import re
import shutil
import socket
import subprocess
from typing import Any

import pytest
from fake_github import _REPO, ROUTES
from proxy import DESCRIPTION, description
from trim_github_api import USED

from towpath_gitops.errors import RefusedError, TowpathError
from towpath_gitops.forges.base import Progress

PULLS = "/repos/acme/flights/pulls"


@pytest.mark.parametrize(
    ("field", "value"),
    [("number", "1"), ("state", "ajar"), ("head", None), ("labels", {}), ("created_at", "yesterday"), ("user", 3)],
)
def test_a_wrong_field_of_the_fake_comes_not_through(github_house: Any, field: str, value: Any) -> None:
    """A fake that answers otherwise than GitHub would prove nothing."""
    github_house.open("b")
    github_house.fake.spoil = lambda answer: answer | {field: value} if "merge_commit_sha" in answer else answer
    with github_house.proxy.tolerant() as violations, pytest.raises(TowpathError):
        github_house.forge().get(1)
    assert f"GET {PULLS}/1: the answer 200 is not allowed" in violations[0]


def test_a_field_that_is_missing_comes_not_through(github_house: Any) -> None:
    """What GitHub always says, the fake must say."""
    github_house.open("b")
    github_house.fake.spoil = lambda answer: {k: v for k, v in answer.items() if k != "title"} if answer else answer
    with github_house.proxy.tolerant() as violations, pytest.raises(TowpathError):
        github_house.forge().get(1)
    assert "'title' is a required property" in violations[0]


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", PULLS, {"title": "t", "base": "main"}),
        ("POST", PULLS, {"title": 1, "base": "main", "head": "b"}),
        ("POST", f"{PULLS}/1/reviews", {"event": "LGTM"}),
        ("PUT", f"{PULLS}/1/merge", {"merge_method": "octopus"}),
        ("PATCH", f"{PULLS}/1", {"state": "merged"}),
        ("POST", "/repos/acme/flights/check-runs", {"name": "x"}),
        ("POST", "/repos/acme/flights/statuses/abc", {"state": "fine"}),
        ("GET", f"{PULLS}/one", None),
        ("GET", f"{PULLS}?state=ajar", None),
        ("GET", f"{PULLS}?per_page=many", None),
        ("GET", "/repos/acme/flights/pull", None),
        ("DELETE", PULLS, None),
    ],
)
def test_a_wrong_request_comes_not_through(github_house: Any, verb: str, path: str, body: Any) -> None:
    """It never reaches the fake, which might have been kinder than GitHub."""
    with github_house.proxy.tolerant() as violations, pytest.raises(RefusedError):
        github_house.forge().api.attempt(verb, path, body=body)
    assert len(violations) == 1
    assert "the request is not allowed" in violations[0]


def test_a_status_that_github_does_not_give_comes_not_through(github_house: Any) -> None:
    """Success has the status that is described; a refusal looks at least as all of GitHub's do."""
    api = github_house.forge().api
    github_house.fake._page = lambda _, __, answer, ___: (201, answer, {})
    with github_house.proxy.tolerant() as violations, pytest.raises(RefusedError):
        api.get("/user")
    assert "the answer 201 is not allowed" in violations[0]


def test_the_fake_answers_all_that_the_client_may_ask() -> None:
    """The description is trimmed to what is used, and what is used is played."""
    asked = {(verb.upper(), path) for path, verbs in USED.items() for verb in verbs}
    paths = {each: re.sub(r"{\w+}", "1", each[1].replace("/repos/{owner}/{repo}", _REPO)) for each in asked}
    played = {
        each for verb, pattern, _ in ROUTES for each in asked if verb == each[0] and re.fullmatch(pattern, paths[each])
    }
    assert (len(played), played) == (len(ROUTES), asked)
    assert set(description()["paths"]) == set(USED)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("prism") is None, reason="npm's @stoplight/prism-cli is not installed")
def test_another_validator_of_the_same_description_agrees(github_house: Any) -> None:
    """Prism, written by others in another language, finds nothing either in a whole story."""
    house = github_house
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["prism", "proxy", str(DESCRIPTION), f"http://127.0.0.1:{house.fake.port}", "--errors", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as prism:
        try:
            assert prism.stdout
            assert any("listening" in line for line in prism.stdout)
            house.proxy.upstream = port
            pull = house.open("b")
            house.forge("grace").approve(1)
            for name in ("robot", "ada"):
                house.github(name).check(1, head=pull.head, ok=True, title="Yes", summary="s")
            house.forge().comment(1, "Fine.")
            assert house.forge().writers(pull) == {"@ada"}
            merged = house.forge().merge(1, pull.head, expected_base=house.main())
            for state in Progress:
                house.forge().deployed(commit=merged.merged, environment="staging", state=state, description="d")
            assert house.forge().safeguards()
            with house.proxy.tolerant():
                house.fake.spoil = lambda answer: answer | {"number": "1"} if "merge_commit_sha" in answer else answer
                with pytest.raises(TowpathError, match="VIOLATIONS"):
                    house.forge().get(1)
        finally:
            prism.terminate()
