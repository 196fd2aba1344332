"""A whole training of a large table beside one of a tenth of it: ten times the rows, and ten times the columns.

From Parquet to a registered release by `towpath train`, XGBoost of 30 rounds without tuning, every rule, check and
picture included. Each is a process of its own, told in seconds of the processor, with its largest resident set. Nine
columns in ten hold numbers, of which some are missing, one in twenty holds words.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from repositories import begin, change
from rounds import Contestant, compare, head

from towpath_flows.inference import Wishes, infer, write
from towpath_flows.server import local_api, stop

TOP = Path(__file__).parents[1]
ROUNDS = 1
PIECE_CELLS = 20_000_000
TELLING = 100  # columns that tell something about the target
SIZES = ((5_000_000, 20), (500_000, 20)), ((20_000, 2_000), (20_000, 200))
CHANGES = (
    (r"frameworks: \[[^\]]*\]", "frameworks: [xgboost], rounds: 30"),
    (r"trials: \d+, timeout: \w+", "trials: 0"),
)


def column(random: np.random.Generator, place: int, rows: int) -> tuple[pa.Array, np.ndarray]:
    """Return the column at a place and what it adds to the score (rows,)."""
    if place % 20 == 3:  # noqa: PLR2004 (one in twenty)
        word = random.integers(0, 5, rows)
        return pa.array(np.array(["red", "green", "blue", "grey", "pink"])[word]), 0.5 * (word == 1)
    values = random.normal(10, 3, rows)
    if place % 20 == 9:  # noqa: PLR2004 (as above)
        values[random.random(rows) < 0.05] = np.nan  # noqa: PLR2004 (a share)
    return pa.array(values), 0.1 * np.nan_to_num(values - 10)


def write_table(path: Path, rows: int, columns: int) -> None:
    """Write a table piece by piece: a time, a target and numbers and words besides."""
    random, writer = np.random.default_rng(0), None
    step = min(rows, PIECE_CELLS // columns)
    for start in range(0, rows, step):
        number = min(step, rows - start)
        known: dict[str, pa.Array] = {}
        score = random.normal(0, 1, number)
        for place in range(columns - 2):
            known[f"c{place}"], more = column(random, place, number)
            score += more if place < TELLING else 0
        moments = np.arange(start, start + number) * 1_000_000
        known |= {"at": pa.array(moments, pa.timestamp("us", tz="UTC")), "y": pa.array(score > 0.5)}  # noqa: PLR2004 (a cut)
        table = pa.table(known)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None  # noqa: S101 (narrows the type)
    writer.close()


def repository(root: Path, rows: int, columns: int) -> Path:
    """Return a repository whose schema and model.yaml are inferred from a table of so many rows and columns."""
    path = root / "data" / "rows.parquet"
    path.parent.mkdir(parents=True)
    write_table(path, rows, columns)
    write(root, path, infer(root, path, Wishes("y")))
    change(root, CHANGES)
    copytree(TOP / "template" / "flows", root / "flows")
    (root / ".gitignore").write_text(".towpath/\ndata/\n__pycache__/\n", encoding="utf-8")
    begin(root)
    return root


@dataclass(frozen=True)
class Training:
    """`towpath train` in a repository, and the largest resident set of each run."""

    name: str
    root: Path
    largest_mb: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Train, which must succeed, and return the seconds of the processor."""
        command = [sys.executable, "-m", "towpath_ci", "train", "--again"]
        with local_api(self.root):
            process = subprocess.Popen(command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        self.largest_mb.append(used.ru_maxrss / 1024)
        return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    told = []
    head()
    for pair in SIZES:
        with TemporaryDirectory() as folder:
            roots = [repository(Path(folder) / f"t{rows}x{columns}", rows, columns) for rows, columns in pair]
            names = [f"a training of {rows:,} rows, {columns:,} columns" for rows, columns in pair]
            this, that = (Training(name, root) for name, root in zip(names, roots, strict=True))
            try:
                compare(Contestant(this.name, this.run), Contestant(that.name, that.run), ROUNDS)
            finally:
                for root in roots:
                    stop(root)
            told += [f"{each.name}: {median(each.largest_mb):,.0f} MB" for each in (this, that)]
    print("", *told, sep="\n")


if __name__ == "__main__":
    main()
