"""The verbs about pull requests, where main's policy keeps those on GitHub: our own, which answers as GitHub would."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towpath_ci.main import app
from towpath_gitops import layout
from towpath_gitops.errors import RefusedError

sys.path.append(str(Path(__file__).parents[1] / "gitops" / "forges"))
from fake_github import NAME
from house import GitHubHouse

POLICY = """\
apiVersion: towpath/v1
kind: Policy
forge: {kind: github, repository: NAME, api: "ADDRESS"}
environments: [{name: production}]
"""
Say = Callable[..., str]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[GitHubHouse]:
    """A model repository whose pull requests live on GitHub, with one open."""
    made = GitHubHouse(tmp_path / "house")
    policy = POLICY.replace("NAME", NAME).replace("ADDRESS", made.proxy.address)
    main = made.main()
    files = {layout.MODEL: b"name: flights\n", layout.POLICY: policy.encode()}
    made.ada.push(made.ada.commit([main], main, files, "A model"), "refs/heads/main", main)
    made.ada.git.run("reset", "--quiet", "--hard", made.ada.main())
    made.open("b", title="A [change]", body="# Because\n")
    yield made
    made.close()


@pytest.fixture
def towpath(house: GitHubHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a verb in the repository as a person, and gives back what it says."""
    monkeypatch.chdir(house.ada.root)

    def say(*arguments: str, by: str = "ada", expect: int = 0) -> str:
        monkeypatch.setenv("GITHUB_TOKEN", f"token-of-{by}")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        shown = capsys.readouterr()
        assert ended.value.code == expect, shown.err
        return shown.out + shown.err

    return say


def test_pull_requests_are_listed_shown_approved_and_closed(house: GitHubHouse, towpath: Say) -> None:
    """In the names that GitHub gives to people, and with the words that GitHub gives for a refusal."""
    assert "A [change]" in towpath("pulls")
    assert "Can not approve your own" in towpath("approve", "1", expect=RefusedError.exit_code)
    assert "@grace approves #1" in towpath("approve", "1", by="grace")
    (listed,) = json.loads(towpath("pulls", "--json"))
    assert (listed["author"], listed["approvals"][0]["by"]) == ("@ada", "@grace")
    assert listed["address"].endswith(f"/{NAME}/pull/1")
    assert "Because" in towpath("pulls", "1")
    assert "Closed #1" in towpath("close", "1", "--reason", "no longer needed")
    assert "No pull request is open" in towpath("pulls")
    assert [comment["body"] for comment in house.fake.comments] == ["no longer needed"]


def test_without_a_token_the_error_says_which(towpath: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it must be allowed to do."""
    monkeypatch.setattr("towpath_gitops.forges.github.client.TOKENS", ("NO_SUCH_TOKEN",))
    said = towpath("pulls", expect=RefusedError.exit_code)
    assert "There is no token for GitHub" in said
    assert "contents: write" in " ".join(said.split())
