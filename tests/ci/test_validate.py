"""The data checks, as continuous integration runs them: a verb of its own, without a training."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import DATA


@pytest.fixture
def table(repository_root: Path) -> Path:
    """Return the file of the training data, which is sound."""
    path = repository_root / DATA
    path.parent.mkdir()
    barges(rows=1000).to_parquet(path)
    return path


def validate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verb in a repository."""
    command = [sys.executable, "-m", "towpath_ci", "validate", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_sound_data_pass(repository_root: Path, table: Path) -> None:
    """Every check is told, and for programs so are the rows."""
    assert table.exists()
    told = json.loads(validate(repository_root, "--json").stdout)
    assert told["rows"] == 1000
    assert {finding["verdict"] for finding in told["findings"]} == {"pass"}


def test_rows_that_break_the_schema_are_named(repository_root: Path, table: Path) -> None:
    """The exit code is that of the data contract, and the report names column and rule."""
    pd.read_parquet(table).assign(distance=-1.0).to_parquet(table)
    done = validate(repository_root, "--json")
    assert done.returncode == 9
    assert "distance" in done.stderr
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["column"], problem["rule"], problem["count"]) == ("distance", "> 0", 1000)


def test_a_leak_is_named(repository_root: Path, table: Path) -> None:
    """Data that fit the schema and give the answer away may not be trained on."""
    frame = pd.read_parquet(table)
    frame.assign(locks=frame["late"].astype(int)).to_parquet(table)
    done = validate(repository_root)
    assert done.returncode == 9
    assert "locks" in done.stderr
    assert "may not be trained on" in done.stderr
