"""The guard and the status from the command line, on a real service that fails its callers."""

import json
from collections.abc import Callable

import pytest

from towpath_ci.drills.stage import AUTHOR, MODEL, PRODUCTION, Stage
from towpath_ci.drills.watched import CALLS, declare, faulty
from towpath_ci.main import app
from towpath_ci.webhook import VARIABLE
from towpath_gitops.delivery.loopback import ask
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.errors import GuardError

CANARY = "c4n4ry-t0k3n"
Say = Callable[..., str]


@pytest.fixture
def towpath(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a verb in the stage's repository, at 80 columns, and returns what it printed."""
    monkeypatch.chdir(stage.root)
    monkeypatch.setenv("COLUMNS", "80")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", AUTHOR[0])
        monkeypatch.setenv(f"GIT_{role}_EMAIL", AUTHOR[1])

    def say(*arguments: str, expect: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        shown = capsys.readouterr()
        assert ended.value.code == expect, shown.err
        assert CANARY not in shown.out + shown.err
        return shown.out if "--json" in arguments else shown.out + shown.err

    return say


def test_a_harmful_release_from_the_command_line(towpath: Say, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watched, taken back with exit 18, shown as DIVERGED with the way on; the webhook's secret is never shown."""
    monkeypatch.setenv(VARIABLE, f"https://127.0.0.1:9/{CANARY}")
    stage.crown()
    assert "staging: no guard is set" in towpath("guard")
    declare(stage, faulty(stage))
    reconcile(stage.repository, stage.registry, PRODUCTION, MODEL)
    assert "inconclusive" in towpath("guard", "--environment", PRODUCTION)
    (before,) = json.loads(towpath("status", "--json", "--environment", PRODUCTION))
    assert (before["state"], before["disagreements"]) == ("serving", [])
    assert before["aliases"]["champion"]
    for _ in range(CALLS):
        ask(before["details"]["port"], "/v1/predict", b'{"rows":[{"cargo":"coal","distance":9,"wind":1,"locks":30}]}')
    shown = towpath("guard", expect=GuardError.exit_code)
    assert "production DIVERGED" in shown
    assert "errors 100.0% of 20 requests (limit 1.0%)" in shown
    assert "The webhook at 127.0.0.1 does not answer" in shown

    status = towpath("status", "--no-registry")
    assert max(map(len, status.splitlines())) <= 80
    for words in ("DIVERGED for", "it serves 1.0.0", "taken back by the guard", "open: #", "safe to return to: 1.0.0"):
        assert words in status
    assert "Next: towpath review" in status
    (now,) = json.loads(towpath("status", "--json", "--no-registry", "--environment", PRODUCTION))
    assert (now["state"], now["served"], now["shift"]["release"]) == ("DIVERGED", stage.good.id, before["served"])
    (look,) = json.loads(towpath("guard", "--json", "--environment", PRODUCTION, expect=GuardError.exit_code))
    assert (look["state"], look["pull"]) == ("DIVERGED", now["pulls"][0]["number"])

    remote = stage.root.parent / "forge.git"
    away = remote.rename(remote.with_suffix(".away"))
    shown = towpath("guard", "--environment", PRODUCTION, expect=GuardError.exit_code)
    assert "Going on with what this clone knows" in shown
    away.rename(remote)


def test_a_registry_that_is_away_keeps_nobody_waiting(
    towpath: Say, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else is known is shown, with one line about what is not."""
    assert stage.root
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    shown = towpath("status")
    assert "The registry's aliases are not shown" in shown
    assert "production" in shown
