"""Five million rows are inferred from, read and checked in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
