"""The whole story, as `make demo` tells it."""

import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

from towpath_bento.journal import names
from towpath_ci.demo.summary import _remembered
from towpath_ci.demo.traffic import Answer, Traffic
from towpath_gitops import layout

TOWPATH = [sys.executable, "-m", "towpath_ci"]


def tell(folder: Path) -> str:
    """Tell the story to its end and return what was printed."""
    told = subprocess.run(
        [*TOWPATH, "demo", "--folder", str(folder)], capture_output=True, text=True, check=False, cwd=folder.parent
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    return told.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_story_is_told_to_its_end_again_and_after_an_interruption(tmp_path: Path) -> None:
    """It refuses the bad release, rolls back with the same bytes, loses no request, and leaves nothing running."""
    folder = tmp_path / "demo"
    first = tell(folder)
    assert "byte for byte what it answered here before" in first
    assert " 0 failed" in first
    assert "the second time each met the same release" in " ".join(first.replace("▌", "").split())
    assert "no column alone reaches" in first
    assert "the chain is whole" in first
    remembered = re.search(r"predictions remembered +([\d,]+) rows of ([\d,]+) requests", first)
    assert remembered
    assert int(remembered[1].replace(",", "")) > 0
    with subprocess.Popen(
        [*TOWPATH, "demo", "--folder", str(folder)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as interrupted:
        time.sleep(60)
        interrupted.send_signal(signal.SIGKILL)
    assert "Summary" in tell(folder)
    assert not _left(folder), "services or servers of the demo are still running"


def _left(folder: Path) -> list[str]:
    """Return the command lines of processes whose current folder lies on the stage."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_traffic_counts_what_was_not_answered_and_when_a_release_first_answered() -> None:
    """A request that nobody answers is a failed one."""
    with Traffic(port=9, rows=[{"a": 1}]) as traffic:
        time.sleep(0.2)
    assert (traffic.answered, traffic.failed > 0) == (0, True)
    traffic.answers[:] = [Answer(1.0, 200, "old"), Answer(2.0, 200, "new"), Answer(3.0, 503, None)]
    assert (traffic.answered, traffic.failed) == (2, 1)
    assert (traffic.first_answer_of("new", 0.0), traffic.first_answer_of("old", 1.5)) == (2.0, None)


def test_the_last_page_counts_what_production_remembers(tmp_path: Path) -> None:
    """Rows and requests of the journal of the last environment, and nothing where there is none."""
    story = SimpleNamespace(root=tmp_path, environments=["staging", "production"], spec=SimpleNamespace(name="tiny"))
    assert _remembered(story).startswith("0 rows of 0 requests, in ")  # type: ignore[arg-type]  # as much as is used
    day = layout.journal(tmp_path, "production", "tiny") / "2026-06-01"
    day.mkdir(parents=True)
    moments = pa.array([datetime(2026, 6, 1, 12, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC"))
    columns = {names.TIME: moments, names.RELEASE: ["a"] * 3, names.REQUEST: ["r1", "r1", "r2"]}
    parquet.write_table(pa.table(columns), day / "120000.000000-a-b.parquet")
    assert _remembered(story).startswith("3 rows of 2 requests, in ")  # type: ignore[arg-type]  # as above
