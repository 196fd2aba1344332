"""The guard where pull requests live on GitHub: a release that fails its callers is taken back there, too."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towpath_ci.drills.stage import MODEL, PRODUCTION, Stage
from towpath_ci.drills.watched import CALLS, RARE, declare, faulty
from towpath_ci.main import app
from towpath_gitops import layout
from towpath_gitops.delivery.loopback import ask
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.errors import GuardError
from towpath_gitops.promotion import declared
from towpath_gitops.records.base import canonical_json

sys.path.append(str(Path(__file__).parents[1] / "gitops/forges"))
from fake_github import NAME, ROBOT, FakeGitHub
from proxy import Proxy

Guard = Callable[..., dict[str, object]]


@pytest.fixture
def github(stage: Stage) -> Iterator[FakeGitHub]:
    """Return our own GitHub, to which main's policy sends the stage's pull requests once a good release serves."""
    stage.crown()
    people = {"ada@example.org": "ada", "robot@example.org": ROBOT}
    fake = FakeGitHub(stage.root.parent / "forge.git", {"token-of-robot": ROBOT}, people)
    proxy = Proxy(fake.port)
    repository = stage.repository
    repository.fetch()
    main = repository.main()
    settings = f"forge: {{kind: github, repository: {NAME}, api: '{proxy.address}'}}\nenvironments:\n"
    policy = (repository.read(main, layout.POLICY) or "").replace("environments:\n", settings)
    commit = repository.commit([main], main, {layout.POLICY: policy.encode()}, "On GitHub")
    repository.push(commit, "refs/heads/main", main)
    yield fake
    proxy.close()
    fake.close()
    assert proxy.violations == []


@pytest.fixture
def guard(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Guard:
    """Return a function that looks at production with a workflow's own token, and returns what the guard tells."""
    monkeypatch.chdir(stage.root)
    monkeypatch.setenv("GITHUB_TOKEN", "token-of-robot")

    def look(*, expect: int) -> dict[str, object]:
        with pytest.raises(SystemExit) as ended:
            app(["guard", "--environment", PRODUCTION, "--json"])
        shown = capsys.readouterr()
        assert ended.value.code == expect, shown.err
        (told,) = json.loads(shown.out)
        return dict(told)

    return look


def test_a_harmful_release_is_taken_back_on_github(stage: Stage, github: FakeGitHub, guard: Guard) -> None:
    """Traffic moves at once, and GitHub has one pull request with the way back, however often the guard looks."""
    declare(stage, faulty(stage))
    reconcile(stage.repository, stage.registry, PRODUCTION, MODEL)
    guard(expect=0)
    port = declared.deployment(stage.repository, stage.repository.main(), PRODUCTION, MODEL).target.port
    for _ in range(CALLS):
        ask(port, "/v1/predict", canonical_json({"rows": [RARE]}))
    looks = [guard(expect=GuardError.exit_code) for _ in range(2)]
    assert [(look["state"], look["pull"]) for look in looks] == [("DIVERGED", 1)] * 2
    (pull,) = github.pulls.values()
    assert pull["state"] == "open"
    assert "rollback" in pull["labels"]
    assert stage.good.semver in pull["title"]
