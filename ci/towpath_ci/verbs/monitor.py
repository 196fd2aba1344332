"""`towpath monitor`."""

import json
import os
from pathlib import Path

from towpath_ci.console import markdown, next_step, plain, say
from towpath_ci.flows import run_flow
from towpath_ci.lazy import verb
from towpath_ci.options import Journal, Since, Until
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath monitor --since 2026-04-01 --until 2026-06-01")
def monitor(*, since: Since = None, until: Until = None, journal: Journal = None) -> None:
    """Look for drift and lost accuracy: run flows/monitor.py.

    Compares recent rows with the champion's reference sample, its answers with the labels that have arrived, and what
    its service remembers of its traffic.
    """
    workspace = Workspace.here()
    if journal and not journal.startswith("s3://"):
        journal = str(Path(journal).absolute())  # the flow runs in the repository's top folder
    folder = run_flow(workspace.root, "monitor", since=since, until=until, journal=journal)
    page = Path(str(folder)) / "report.md"
    if not page.is_file():  # the owner's flow may report in its own way
        say(plain(folder))
        return
    markdown(page.read_text(encoding="utf-8"))
    say(f"\nWith pictures: {plain(os.path.relpath(page.with_suffix('.html')))}")
    if json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["outcome"] in {"costly", "drifted"}:
        next_step("towpath train")
