"""Five million rows, and two thousand columns, go all the way to a registered release in bounded memory."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from towpath_flows.server import stop
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry

TRAIN = Path(__file__).parents[2] / "template" / "flows" / "train.py"
WIDE_ROWS, WIDE_COLUMNS = 20_000, 2_000
MOST_OF_WIDE_BYTES = 2_600_000_000  # eight times what its columns take; 0.8 GB of that are XGBoost's histograms
ROWS, PIECE = 5_000_000, 500_000
MOST_BYTES = 4_000_000_000  # fifteen times what the rows take as columns of numbers and words
PROGRAM = """
import resource, sys
from pathlib import Path
from towpath_flows.data import contract, load, quality, split
from towpath_flows.inference import Wishes, infer, write
from towpath_flows.project import Project

root, file = Path(sys.argv[1]), Path(sys.argv[2])
found = infer(root, file, Wishes("y"))
write(root, file, found)
project = Project.open(root)
table = load(project)
validated = contract.validate(project, table)
parts = split(project, validated.frame)
verdicts = {finding.verdict.value for finding in quality.inspect(project, validated, parts).findings}
print(len(table.frame), table.memory_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, *verdicts)
"""
INFER = """
import sys
from pathlib import Path
from towpath_flows.inference import Wishes, infer, write

root = Path(sys.argv[1])
write(root, root / "data/rows.parquet", infer(root, root / "data/rows.parquet", Wishes("y")))
"""


def write_rows(path: Path) -> None:
    """Write the rows piece by piece, with a time, a text of many values and a target that they tell something about."""
    random = np.random.default_rng(0)
    writer = None
    for piece in range(ROWS // PIECE):
        amount, word = random.normal(10, 3, PIECE), random.integers(0, 3, PIECE)
        seconds = np.arange(piece * PIECE, (piece + 1) * PIECE)
        rows = pa.table(
            {
                "amount": amount,
                "colour": pa.array(np.array(["red", "green", "blue"])[word]),
                "shop": pa.array([f"shop {number}" for number in random.integers(0, 5_000, PIECE)]),
                "at": pa.array(seconds * 1_000_000, pa.timestamp("us", tz="UTC")),
                "y": amount + 2 * word + random.normal(0, 2, PIECE) > 12,
            }
        )
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    assert writer
    writer.close()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_five_million_rows_are_described_and_checked(tmp_path: Path) -> None:
    """What `towpath infer` writes of them holds for all of them, and the process stays small beside its table."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "rows.parquet"
    write_rows(path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(path)], check=True, capture_output=True, text=True
    )
    rows, taken, peak, *verdicts = done.stdout.split()
    assert (int(rows), verdicts) == (ROWS, ["pass"])
    assert 100_000_000 < int(taken) < int(peak) < MOST_BYTES
    assert "time: at" in (tmp_path / "model.yaml").read_text()


def write_wide(path: Path) -> None:
    """Write two thousand columns, of which some lack values, some hold words, and a few tell of the target."""
    random = np.random.default_rng(0)
    columns: dict[str, object] = {}
    for place in range(WIDE_COLUMNS - 2):
        values = random.normal(10, 3, WIDE_ROWS)
        if place % 20 == 9:
            values[random.random(WIDE_ROWS) < 0.05] = np.nan
        words = np.array(["red", "green", "blue"])[random.integers(0, 3, WIDE_ROWS)]
        columns[f"c{place}"] = words if place % 20 == 3 else values
    moments = np.arange(WIDE_ROWS) * 1_000_000
    y = np.asarray(columns["c0"]) + np.asarray(columns["c1"]) + random.normal(0, 2, WIDE_ROWS) > 21
    pq.write_table(pa.table({**columns, "at": pa.array(moments, pa.timestamp("us", tz="UTC")), "y": y}), path)


def trained(root: Path) -> tuple[int, dict[str, str]]:
    """Infer a repository for its table, train it by `towpath train` without tuning.

    Returns the largest resident set of the process in bytes, and the verdict of each kind of evidence.
    """
    subprocess.run([sys.executable, "-c", INFER, str(root)], check=True, capture_output=True)
    spec = root / "model.yaml"
    text = re.sub(r"trials: \d+, timeout: \w+", "trials: 0", spec.read_text())
    spec.write_text(re.sub(r"frameworks: \[[^\]]*\]", "frameworks: [xgboost], rounds: 30", text))
    (root / "flows").mkdir()
    shutil.copy(TRAIN, root / "flows")
    (root / ".gitignore").write_text(".towpath/\ndata/\n__pycache__/\n")
    for command in (
        "init -q",
        "config user.name Ada",
        "config user.email ada@example.org",
        "add -A",
        "commit -qm Begin",
    ):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    try:
        process = subprocess.Popen([sys.executable, "-m", "towpath_ci", "train"], cwd=root, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        stop(root)
    assert process.returncode == 0
    registry = Registry(layout.tracking_uri(root))
    (release,) = registry.releases(root.name)
    return used.ru_maxrss * 1024, {kind.value: each.verdict.value for kind, each in registry.evidence(release).items()}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("write", "most_bytes"), [(write_wide, MOST_OF_WIDE_BYTES), (write_rows, MOST_BYTES)], ids=["wide", "long"]
)
def test_large_tables_become_releases(tmp_path: Path, write: Callable[[Path], None], most_bytes: int) -> None:
    """They pass contract, rules, fit, proof, intervals, checks and card, and no stage holds them many times over."""
    root = tmp_path / "large"
    (root / "data").mkdir(parents=True)
    write(root / "data" / "rows.parquet")
    peak_bytes, verdicts = trained(root)
    assert {"data", "parity", "evaluation", "behaviour"} <= set(verdicts)
    assert verdicts["data"] == verdicts["parity"] == "pass"
    assert peak_bytes < most_bytes
