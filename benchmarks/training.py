"""From a Parquet file of all flights of 2013 to a registered release, beside a script that is written by hand.

Both read the same rows and fit one XGBoost model on the same columns without tuning; both are processes of their own,
measured from start to end, the largest resident set of any process besides. Prefect's server runs already. Ours also
holds the rows to a contract and ten rules, proves the graph, bootstraps intervals, checks behaviour and writes a card.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from rounds import Contestant, Run, compare, head

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
    spec = root / "model.yaml"
    text = spec.read_text(encoding="utf-8")
    for pattern, words in CHANGES:
        text, found = re.subn(pattern, words, text)
        if found != 1:
            raise ValueError(pattern)
    spec.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "src/flights/dataset.py"], cwd=root, check=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "forge.git")
    git(root, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(root, "config", key, value)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Begin")
    git(root, "remote", "add", "origin", str(folder / "forge.git"))
    git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return root


def program(command: Sequence[str], root: Path, largest_kb: list[int]) -> Run:
    """Return a run of a program, which must succeed; the largest of its processes is added to `largest_kb`."""

    def run() -> float:
        began = perf_counter()
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = perf_counter() - began
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        largest_kb.append(used.ru_maxrss)
        return took

    return run


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        root = rendered(Path(folder))
        ours_kb: list[int] = []
        theirs_kb: list[int] = []
        script, table = TOP / "benchmarks/by_hand.py", root / "data/flights.parquet"
        hand = [sys.executable, str(script), str(table), f"sqlite:///{folder}/hand.db"]
        try:
            with local_api(root):
                ours = program([sys.executable, "-m", "towpath_ci", "train", "--again"], root, ours_kb)
                head()
                theirs = program(hand, Path(folder), theirs_kb)  # its artifacts go where it is started
                compare(Contestant("towpath train, a year", ours), Contestant("a script by hand", theirs), ROUNDS)
        finally:
            stop(root)
    one, other = median(ours_kb) / 1024, median(theirs_kb) / 1024
    print(f"\nPeak memory: {one:.0f} MB against {other:.0f} MB: {one / other:.2f} times as much.")


if __name__ == "__main__":
    main()
