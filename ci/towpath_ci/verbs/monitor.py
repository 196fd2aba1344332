"""`towpath monitor`."""

from pathlib import Path

from towpath_ci.console import markdown, next_step, plain, say
from towpath_ci.flows import run_flow
from towpath_ci.lazy import verb
from towpath_ci.options import Since, Until
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath monitor --since 2026-04-01 --until 2026-06-01")
def monitor(*, since: Since = None, until: Until = None) -> None:
    """Look for drift and lost accuracy: run flows/monitor.py.

    Compares recent rows with the champion's reference sample, and its answers with the labels that have arrived.
    """
    workspace = Workspace.here()
    folder = run_flow(workspace.root, "monitor", since, until)
    page = Path(str(folder)) / "report.md"
    if page.is_file():
        markdown(page.read_text(encoding="utf-8"))
        say(f"\nWith pictures: {plain(page.with_suffix('.html'))}")
    next_step("towpath train")
