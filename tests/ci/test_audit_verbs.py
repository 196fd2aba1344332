"""`towpath audit` from a clone whose remote is gone: git alone testifies."""

import csv
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from check_jsonschema import main as check_jsonschema

from towpath_ci.drills.stage import AUTHOR, MODEL, STAGING
from towpath_gitops import layout
from towpath_gitops.delivery.declared import declared_at
from towpath_gitops.delivery.ledger import Event, Fact, Ledger
from towpath_gitops.errors import InvalidFileError, LedgerError, NotFoundError
from towpath_gitops.promotion.change import promote
from towpath_gitops.records.base import digest_of, short
from towpath_gitops.records.deployment import edited, parse_deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "ledger-export.json"
START = datetime(2026, 1, 1, tzinfo=UTC)


def declare(repository: Repository, version: int) -> str:
    """Let main declare a release in staging, as the merge of a pull request does; return the commit."""
    digest = digest_of(version)
    fields = {"model": MODEL, "version": version, "semver": f"1.{version}.0", "code": "c" * 40}
    release = Release.model_validate(fields | dict.fromkeys(("artifact", "schema", "data"), digest))
    path, main = layout.environment_path(STAGING, MODEL), repository.main()
    text = repository.read(main, path) or ""
    deployment = promote(parse_deployment(text, source=path), release, "=weekly", None)
    message = f"Merge\n\nTowpath-Pull: {version}\nApproved-by: grace@example.org\n"
    commit = repository.commit([main], main, {path: edited(text, deployment, source=path).encode()}, message)
    repository.push(commit, "refs/heads/main", main)
    return commit


@pytest.fixture
def offline(repository_root: Path) -> Path:
    """A clone with a past of two releases, and a remote that is gone."""
    repository = Repository.discover(repository_root).acting_as(*AUTHOR)
    for version in (1, 2):
        commit = declare(repository, version)
        declared = declared_at(repository, commit, STAGING, MODEL)
        assert declared
        place = {"environment": STAGING, "model": MODEL, "commit": commit, "time": START + timedelta(days=version)}
        facts = declared.facts() | place
        verified = facts | {"event": Event.VERIFIED, "verdict": Verdict.PASS}
        Ledger(repository).append(*map(Fact.model_validate, (facts | {"event": Event.APPLIED}, verified)))
    shutil.rmtree(repository_root.parent / "forge.git")
    return repository_root


def towpath(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in a repository, as a user does."""
    command = [sys.executable, "-m", "towpath_ci", *arguments]
    return subprocess.run(
        command, cwd=root, env=os.environ | {"COLUMNS": "160"}, capture_output=True, text=True, check=False
    )


def test_everything_is_told_without_a_remote(offline: Path) -> None:
    """All entries, those at a moment, the whole check, main's own story; and it is said that the remote is away."""
    told = {
        "": "grace@example.org",
        "verify": "4 entries: the chain is whole",
        "at 2026-01-02T12:00 -e staging": "served canal 1.1.0",
        "rebuild": "2 declarations; the ledger says the same",
    }
    for arguments, words in told.items():
        done = towpath(offline, "audit", *arguments.split())
        assert (done.returncode, words in done.stdout) == (0, True), done
        assert "remote cannot be reached" in done.stderr
    assert towpath(offline, "audit", "at", "2026-01-02", "-e", "stagin").returncode == NotFoundError.exit_code


def test_the_line_of_an_experiment_names_its_challenger(repository_root: Path) -> None:
    """Who else answered, and what share of requests, stands below that entry and below no other."""
    repository = Repository.discover(repository_root).acting_as(*AUTHOR)
    declared = declared_at(repository, declare(repository, 1), STAGING, MODEL)
    assert declared
    place = {"environment": STAGING, "model": MODEL, "commit": declared.commit, "time": START}
    alone = {"event": Event.VERIFIED, "verdict": Verdict.PASS}
    beside = {"event": Event.APPLIED, "challenger": digest_of(2), "share": 0.25}
    Ledger(repository).append(*(Fact.model_validate(declared.facts() | place | each) for each in (alone, beside)))
    told = towpath(repository_root, "audit").stdout
    assert told.count("beside it") == 1
    assert f"beside it the challenger {short(digest_of(2))} with a share of 0.25" in told


def test_main_alone_tells_the_story_when_the_ledger_is_lost(offline: Path) -> None:
    """Declarations with change, approvals and reasons; that nobody tells of the first one any more is an error."""
    subprocess.run(["git", "update-ref", "-d", "refs/remotes/origin/towpath/ledger"], cwd=offline, check=True)
    done = towpath(offline, "audit", "rebuild", "--json")
    assert [(item["semver"], item["approved_by"], item["ledger"]) for item in json.loads(done.stdout)] == [
        ("1.1.0", ["grace@example.org"], []),
        ("1.2.0", ["grace@example.org"], []),
    ]
    assert done.returncode == LedgerError.exit_code
    assert "no entry tells of it" in done.stderr


def test_an_export_fits_its_schema_and_opens_in_a_spreadsheet(offline: Path, tmp_path: Path) -> None:
    """JSON that the published schema accepts, and a table in which nothing is a formula."""
    done = towpath(offline, "audit", "export", "--output", str(tmp_path / "ledger.json"))
    assert done.returncode == 0, done.stderr
    with pytest.raises(SystemExit) as checked:
        check_jsonschema(["--schemafile", str(SCHEMA), str(tmp_path / "ledger.json")], standalone_mode=True)
    assert checked.value.code == 0
    table = list(csv.DictReader(StringIO(towpath(offline, "audit", "export", "--format", "csv").stdout)))
    assert [(row["event"], row["reason"]) for row in table][:2] == [("applied", "'=weekly"), ("verified", "'=weekly")]
    refused = towpath(offline, "audit", "export", "--output", "/proc/nowhere/ledger.json")
    assert refused.returncode == InvalidFileError.exit_code
