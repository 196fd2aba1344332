"""The verbs, one after the other, as two people use them on one release."""

import json
from collections.abc import Callable

import pytest

from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import AUTHOR, OWNER, Stage
from towpath_ci.main import app
from towpath_gitops import layout
from towpath_gitops.errors import DataContractError, RefusedError

Say = Callable[..., str]


@pytest.fixture
def towpath(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs a verb in the stage's repository as a person, and returns what it printed."""
    monkeypatch.chdir(stage.root)

    def say(*arguments: str, by: tuple[str, str] = AUTHOR, expect: int = 0) -> str:
        for role in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{role}_NAME", by[0])
            monkeypatch.setenv(f"GIT_{role}_EMAIL", by[1])
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
        shown = capsys.readouterr()
        assert ended.value.code == expect, shown.err
        return shown.out if "--json" in arguments else shown.out + shown.err

    return say


def test_a_release_goes_its_way(towpath: Say, stage: Stage) -> None:
    """Proposed, refused, approved, merged, served, verified, looked at, and stopped: every verb does its part."""
    release = stage.good
    assert json.loads(towpath("releases", "--json"))[0]["id"] == release.id
    assert "roc_auc ≥ 0.7" in towpath("show", "latest")
    proposed = towpath("promote", release.short_id, "--to", "staging", "--reason", "first [release]")
    assert "Next: towpath review 1" in proposed
    assert "approvals" in towpath("review", "1", expect=RefusedError.exit_code)
    assert "may not be merged" in towpath("merge", "1", expect=RefusedError.exit_code)
    assert "your own proposal" in towpath("approve", "1")
    towpath("approve", "1", by=OWNER)
    assert json.loads(towpath("review", "1", "--publish", "--json"))["ok"]
    assert "Merged #1" in towpath("merge", "1")
    assert "No pull request is open" in towpath("pulls")
    assert json.loads(towpath("pulls", "--state", "all", "--json"))[0]["state"] == "merged"
    assert "grace@example.org" in towpath("pulls", "1")
    assert json.loads(towpath("pulls", "1", "--json"))["check"]["title"] == "It may be merged"
    assert "not running" in towpath("status")

    assert "now serves" in towpath("reconcile", "--environment", "staging")
    staging, production = json.loads(towpath("status", "--json"))
    assert (staging["state"], staging["served"]) == ("serving", release.id)
    assert (production["state"], production["served"]) == ("nothing declared", None)
    assert "✓ pass" in towpath("verify")
    (applied, verified) = json.loads(towpath("audit", "--json"))
    assert (applied["event"], verified["event"], verified["verdict"]) == ("applied", "verified", "pass")
    assert applied["approved_by"] == [OWNER[1]]
    assert applied["semver"] == "1.0.0"
    assert "the chain is whole" in towpath("audit", "verify")
    assert "Nothing was served" in towpath("audit", "at", "2020-01-01")
    assert release.short_id in towpath("audit", "at", "2100-01-01", "--environment", "staging")

    assert "Stopped canal in staging" in towpath("down")
    assert "does not answer" in towpath("verify", expect=11)


def test_what_does_not_exist_is_named(towpath: Say) -> None:
    """A release, a pull request and an environment that do not exist are met with those that do."""
    assert "1.0.0" in towpath("show", "9.9.9", expect=4)
    assert "no pull request #99" in towpath("pulls", "99", expect=4)
    assert "staging, production" in towpath("reconcile", "--environment", "nowhere", expect=4)
    assert "no pull request #99" in towpath("close", "99", "--reason", "größer 大", expect=4)


def test_a_reason_that_is_not_text_is_refused(towpath: Say) -> None:
    """Bytes that are not UTF-8, and several lines, are refused before anything is asked."""
    for reason in ("a\udcffb", "a\nb", " "):
        assert "not one line" in towpath("close", "1", "--reason", reason, expect=3)


def test_a_name_that_nobody_knows_is_no_testimony(towpath: Say) -> None:
    """“Nothing was served” is said of environments that exist; a typing mistake is named."""
    assert "staging, production" in towpath("audit", "--environment", "stagin", expect=4)
    assert "staging, production" in towpath("audit", "at", "2100-01-01", "-e", "stagin", expect=4)
    assert json.loads(towpath("audit", "--environment", "production", "--json")) == []


def _on_main(stage: Stage, edits: dict[str, bytes | None]) -> None:
    """Let somebody push to main without review."""
    repository = stage.repository
    repository.fetch()
    main = repository.main()
    repository.push(repository.commit([main], main, edits, "By hand"), "refs/heads/main", main)


def test_one_broken_environment_does_not_hide_the_others(towpath: Say, stage: Stage) -> None:
    """A file that cannot be read, is gone or is in the wrong place is named; the other environment is shown and run."""
    path = layout.environment_path("staging", "canal")
    repository = stage.repository
    repository.fetch()
    kept = repository.read_bytes(repository.main(), path)
    other = repository.read_bytes(repository.main(), layout.environment_path("production", "canal"))
    for broken, state, words in (
        (b"release: [", "unreadable", "not valid YAML"),
        (None, "no file", "main has no"),
        (other, "unreadable", "speaks of canal in production"),
    ):
        _on_main(stage, {path: broken})
        staging, production = json.loads(towpath("status", "--json"))
        assert (staging["state"], production["state"]) == (state, "nothing declared")
        assert words in staging["problem"]
        shown = " ".join(towpath("status").split())
        assert state in shown
        assert words in shown
        code = 4 if broken is None else 3
        staging, production = json.loads(towpath("reconcile", "--json", expect=code))
        assert words in staging["error"]
        assert production["release"] is None
        assert "production: nothing is declared yet" in towpath("reconcile", expect=code)
    _on_main(stage, {path: kept})


def test_there_is_no_way_back_from_the_first_release(towpath: Say) -> None:
    """A rollback where nothing else was ever verified is refused with the reason."""
    assert "Nothing runs in production" in towpath("rollback", "--environment", "production", expect=7)


def test_a_comparison_is_made_anew_from_the_rows_of_training(towpath: Say, stage: Stage) -> None:
    """The same rows are judged again; other rows in their place are refused, not compared."""
    assert "There is no champion" in towpath("compare", "latest")
    stage.write(barges().iloc[1:])
    assert "cannot be read again" in towpath("compare", "latest", expect=DataContractError.exit_code)
