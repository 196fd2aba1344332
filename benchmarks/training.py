"""From a Parquet file of all flights of 2013 to a registered release, beside two scripts that are written by hand.

All read the same rows and fit one XGBoost model on the same columns without tuning. by_hand_fully.py does what Towpath
does: contract, rules, intervals, slices, a proved graph, behaviour, importance, a card. by_hand.py leaves all of that
out: it reads, fits, measures four numbers and registers. Each is a process of its own, measured from start to end on
the clock and by the processor, with the largest resident set of any of its processes. Prefect's server runs already.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from repositories import begin, change
from rounds import Contestant, compare, head

from towpath_ci.drills.stage import git
from towpath_flows.server import local_api, stop

TOP = Path(__file__).parents[1]
ROUNDS = 3
CHANGES = (
    (r"(?m)^  window: \{.*\n", ""),
    (r"frameworks: \[[^\]]*\]", "frameworks: [xgboost]"),
    (r"trials: \d+", "trials: 0"),
)


def rendered(folder: Path) -> Path:
    """Return a repository of the template in `folder`, with the whole year as its table."""
    from copier import run_copy  # noqa: PLC0415 (takes a second)

    root = folder / "flights"
    run_copy(str(TOP), root, defaults=True, quiet=True, vcs_ref="HEAD")
    change(root, CHANGES)
    subprocess.run([sys.executable, "src/flights/dataset.py"], cwd=root, check=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "forge.git")
    begin(root)
    git(root, "remote", "add", "origin", str(folder / "forge.git"))
    git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return root


@dataclass(frozen=True)
class Program:
    """A program and the folder that it runs in; what its runs took is added up in the order of the runs."""

    name: str
    command: Sequence[str]
    folder: Path
    processor_s: list[float] = field(default_factory=list)
    largest_mb: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Run it, which must succeed, and return the seconds on the clock."""
        began = perf_counter()
        process = subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = perf_counter() - began
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), self.command)
        self.processor_s.append(used.ru_utime + used.ru_stime)
        self.largest_mb.append(used.ru_maxrss / 1024)
        return took


def beside(ours: Program, theirs: Program) -> str:
    """Let the two take turns; print the row on the clock and return a line on processor and memory."""
    for each in (ours, theirs):
        each.processor_s.clear()
        each.largest_mb.clear()
    compare(Contestant(ours.name, ours.run), Contestant(theirs.name, theirs.run), ROUNDS)
    one, other = (median(each.processor_s[1:]) for each in (ours, theirs))
    mine, yours = (median(each.largest_mb) for each in (ours, theirs))
    return (
        f"{theirs.name}: {one:.1f} against {other:.1f} s of processor, {one / other:.2f} times as much; "
        f"{mine:.0f} against {yours:.0f} MB, {mine / yours:.2f} times as much"
    )


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        root, here = rendered(Path(folder)), Path(folder)
        table = str(root / "data/flights.parquet")

        def script(name: str, file: str, *given: str) -> Program:
            command = [sys.executable, str(TOP / "benchmarks" / file), table, f"sqlite:///{here}/{file}.db", *given]
            return Program(name, command, here)  # its artifacts go where it is started

        ours = Program("`towpath train`, a year", [sys.executable, "-m", "towpath_ci", "train", "--again"], root)
        peers = (
            script("the same by hand", "by_hand_fully.py", str(here / "full")),
            script("the same by hand, without intervals", "by_hand_fully.py", str(here / "less"), "2"),
            script("a bare script by hand", "by_hand.py"),
        )
        try:
            with local_api(root):
                head()
                told = [beside(ours, peer) for peer in peers]
        finally:
            stop(root)
    print("", *told, sep="\n")


if __name__ == "__main__":
    main()
