"""`towpath train`."""

from time import monotonic

from towpath_ci.console import mark, next_step, plain, say
from towpath_ci.flows import run_flow
from towpath_ci.lazy import verb
from towpath_ci.options import Since, Until
from towpath_ci.verbs.show import tell_evidence
from towpath_ci.workspace import Workspace
from towpath_gitops.records.evidence import Verdict

app = verb()


@app.command(epilog="Example: towpath train --until 2026-03-01")
def train(*, since: Since = None, until: Until = None) -> None:
    """Train, judge and register a release: run flows/train.py.

    Uses the rows that `data.window` in model.yaml names unless told otherwise. A release that misses a gate is
    registered, too: it can be looked at, and every environment that asks for the evidence refuses it.
    """
    workspace = Workspace.here()
    start = monotonic()
    release_id = run_flow(workspace.root, "train", since, until)
    if not isinstance(release_id, str):
        say("The flow ended without registering a release.")
        return
    release = workspace.find(release_id)
    evidence = workspace.registry.evidence(release)
    tell_evidence(evidence)
    say(f"\n{mark('ok')} Registered [bold]{plain(release)}[/] in {monotonic() - start:.0f} s")
    red = [kind.value for kind, item in evidence.items() if item.verdict is not Verdict.PASS]
    if red:
        say(f"{mark('warn')} Where its {', '.join(red)} evidence is asked for, it will be refused.")
    first = workspace.environments[0] if workspace.is_published else "staging"
    next_step(f"towpath promote {release.short_id} --to {first}", f"towpath show {release.short_id}")
