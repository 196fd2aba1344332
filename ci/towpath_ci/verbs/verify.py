"""`towpath verify`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from towpath_ci.console import emit, mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.verification import Question, serving_digest
from towpath_gitops.delivery.verification import verify as ask_for_proof
from towpath_gitops.errors import DeliveryError
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, gate_digest
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release

app = verb()


@app.command(epilog="Example: towpath verify --environment staging")
def verify(*, environment: AnyEnvironment = None, as_json: AsJson = False) -> None:
    """Ask a service who it is and replay its golden requests.

    Nothing is changed or recorded; `towpath reconcile` does that. Exits with 12 when an environment does not hold.
    """
    workspace = Workspace.here()
    found = {}
    for name in workspace.chosen(environment):
        deployment = workspace.declared(name)
        if deployment and deployment.declared:
            with working(f"Verifying {name}"):
                found[name] = _evidence(workspace, deployment, deployment.declared)
    if as_json:
        emit([evidence.plain() | {"verdict": evidence.verdict} for evidence in found.values()])
    else:
        _tell(found)
    bad = [name for name, evidence in found.items() if evidence.verdict is not Verdict.PASS]
    if bad:
        raise DeliveryError(f"Not verified: {', '.join(bad)}", hint=f"towpath rollback --environment {bad[0]}")


def _evidence(workspace: Workspace, deployment: Deployment, release: Release) -> Evidence:
    repository = workspace.repository
    document = load_yaml(repository.read(workspace.main, layout.MODEL) or "", source=layout.MODEL)
    serving = serving_digest(repository.tree(workspace.main, "bento") or "")
    last = workspace.ledger.last_verified(deployment.environment, deployment.model, release.id)
    question = Question(
        release=release,
        environment=deployment.environment,
        artifact=workspace.registry.fetch(release, layout.store(workspace.root)),
        gates=gate_digest(document if isinstance(document, Mapping) else {}, Kind.VERIFICATION),
        before=last.answers if last and last.serving == serving else None,
    )
    target = TARGETS[deployment.target.kind](repository, deployment)
    return ask_for_proof(target.ask, question, datetime.now(UTC))


def _tell(found: Mapping[str, Evidence]) -> None:
    for name, evidence in found.items():
        say(f"[bold]{plain(name)}[/]: {mark(evidence.verdict.value)}")
        for finding in evidence.findings:
            say(f"    {mark(finding.verdict.value)} {plain(finding.gate)}: {plain(finding.message)}")
    if not found:
        say("Nothing is declared yet.")
        next_step("towpath promote latest --to staging")
