"""`towpath compare`."""

from towpath_ci.console import next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import Selector
from towpath_ci.verbs.show import tell_evidence
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath compare 1.3.0")
def compare(release: Selector) -> None:
    """Compare a release with today's champion on the same later data.

    The comparison of training goes stale when another release becomes champion; this makes a new one on the test rows
    that the release was judged by, and publishes it. Propose again afterwards.
    """
    from towpath_flows.project import Project  # noqa: PLC0415 (imports pandas and the engines)
    from towpath_flows.recomparison import compare_again  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    with working("Reading the rows and asking both models"):
        found = workspace.find(release)
        evidence = compare_again(Project.open(workspace.root), found)
    tell_evidence({evidence.kind: evidence})
    champion = evidence.champion
    say(f"Compared with {plain(champion[7:19])}." if champion else "There is no champion yet.")
    next_step(f"towpath promote {found.short_id} --to {workspace.environments[0]}")
