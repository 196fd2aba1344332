"""The verbs of the workflows against GitHub: our own stateful one, behind a proxy that knows what GitHub allows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from towpath_gitops.errors import NotFoundError
from towpath_gitops.forges.base import CHECK
from towpath_gitops.repository import Repository

sys.path.append(str(Path(__file__).parents[1] / "gitops/forges"))
from fake_github import NAME, ROBOT, FakeGitHub
from proxy import Proxy

RULESET = 7
TEMPLATE = Path(__file__).parents[2] / "template/.github"


def rules() -> list[dict[str, Any]]:
    """Return the rules of the template's ruleset for main as GitHub lists them once they are active."""
    (path,) = TEMPLATE.glob("*ruleset.json*")
    about = {"ruleset_source_type": "Repository", "ruleset_source": NAME, "ruleset_id": RULESET}
    return [about | rule for rule in json.loads(path.read_text())["rules"]]


@dataclass
class OnGitHub:
    """A model repository whose pull requests live on GitHub, and the verbs in it."""

    root: Path
    fake: FakeGitHub

    def towpath(self, *arguments: str, who: str = "robot") -> subprocess.CompletedProcess[str]:
        """Run a verb with somebody's token; by default a workflow's own."""
        kept = {name: value for name, value in os.environ.items() if name not in {"GH_TOKEN", "GITHUB_TOKEN"}}
        command = [sys.executable, "-m", "towpath_ci", *arguments]
        environment = kept | {"GITHUB_TOKEN": f"token-of-{who}"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def doctor(self) -> dict[str, dict[str, str]]:
        """Return what the doctor says to an administrator, by check."""
        told = json.loads(self.towpath("doctor", "--json", who="ada").stdout)
        return {each["check"]: each for each in told}

    def offer(self, path: str, text: str) -> int:
        """Open a pull request with one file and return its number."""
        repository = Repository.discover(self.root)
        repository.fetch()
        main = repository.main()
        repository.push(repository.commit([main], main, {path: text.encode()}, "Work"), "refs/heads/work", None)
        body = {"title": "Work", "head": "work", "base": "main", "body": ""}
        self.fake.me = "ada"
        number: int = self.fake.open_pull(body=body)["number"]
        return number


@pytest.fixture
def github(repository_root: Path) -> Iterator[OnGitHub]:
    """Return the drills' repository on GitHub, where main has no rules yet."""
    remote = repository_root.parent / "forge.git"
    people = {"ada@example.org": "ada", "grace@example.org": "grace", "robot@example.org": ROBOT}
    fake = FakeGitHub(remote, {"token-of-ada": "ada", "token-of-robot": ROBOT}, people)
    proxy = Proxy(fake.port)
    policy = repository_root / "gitops/policy.yaml"
    settings = f"forge: {{kind: github, repository: {NAME}, api: '{proxy.address}'}}\n"
    policy.write_text(policy.read_text().replace("environments:\n", settings + "environments:\n"))
    (repository_root / ".github/CODEOWNERS").write_text("* @grace @linus\n")
    for command in (("commit", "--quiet", "--all", "--message=On GitHub"), ("push", "--quiet", "origin", "main")):
        subprocess.run(["git", *command], cwd=repository_root, check=True)
    yield OnGitHub(repository_root, fake)
    proxy.close()
    fake.close()
    assert proxy.violations == []


def test_the_doctor_names_what_main_lacks(github: OnGitHub) -> None:
    """Without rules every hole is named; with those that the template brings nothing is left to say about main."""
    holes = {
        "PullRequestsOnly", "ReviewRequired", "EnoughApprovals", "OwnersApprove", "FreshApprovals", "HistoryIsKept",
    }  # fmt: skip
    found = github.doctor()
    assert {name for name, each in found.items() if each["state"] == "failed"} == holes
    assert found["LastEnvironmentIsReviewed"]["state"] == "warn"
    github.fake.rules, github.fake.rulesets = rules(), {RULESET: {"bypass_actors": []}}
    found = github.doctor()
    assert [name for name, each in found.items() if each["state"] == "failed"] == []
    assert {found[name]["state"] for name in (*holes, "NobodyIsAbove", "BranchesUpToDate")} == {"ok"}


def test_a_workflow_writes_the_required_check(github: OnGitHub) -> None:
    """With a workflow's own token every open pull request gets its check and one comment, also the second time."""
    number = github.offer("notes.txt", "?\n")
    for _ in range(2):
        done = github.towpath("review", "--all", "--publish")
        assert done.returncode == 0, done.stderr
    (check,) = github.fake.checks
    assert (check["name"], check["conclusion"]) == (CHECK, "success")
    (comment,) = github.fake.comments
    assert "releases nothing" in comment["body"]
    assert github.towpath("review", str(number)).returncode == 0


@pytest.fixture
def edited(github: OnGitHub) -> Callable[[str, str], int]:
    """Return a function that opens a pull request which edits staging's file by hand."""

    def offered(old: str, new: str) -> int:
        path = "gitops/environments/staging/canal.yaml"
        text = (github.root / path).read_text()
        assert old in text
        return github.offer(path, text.replace(old, new))

    return offered


def test_what_is_refused_is_refused_on_github(github: OnGitHub, edited: Callable[[str, str], int]) -> None:
    """A hold that nobody proposed fails the check, and says which of main's missing rules leave a way around it."""
    number = edited("hold: null", "hold: {blocked: [], reason: x, by: ada, since: 2026-01-01T00:00:00Z}")
    assert github.towpath("review", str(number), "--publish").returncode == 7
    (check,) = github.fake.checks
    assert check["conclusion"] == "failure"
    assert "leave a way around this verdict" in check["output"]["summary"]


def test_what_could_not_be_delivered_is_shown_on_github(github: OnGitHub, declare: Callable[[], str]) -> None:
    """A workflow that delivers leaves a deployment of main's commit to the environment, with how it went."""
    commit = declare()
    assert github.towpath("reconcile", "--environment", "staging").returncode == NotFoundError.exit_code
    (deployment,) = github.fake.deployments
    assert (deployment["sha"], deployment["environment"]) == (commit, "staging")
    (progress,) = deployment["statuses"]
    assert progress["state"] == "failure"
    assert "0" * 12 not in progress["description"]
