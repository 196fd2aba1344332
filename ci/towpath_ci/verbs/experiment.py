"""`towpath experiment`."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from towpath_ci.console import emit, mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AnyEnvironment, AsJson, CarriedBy, EnvironmentName, GivenReason, Selector
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.promotion.proposal import propose_experiment, propose_experiment_stop
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Deployment

app = verb()


class Mode(StrEnum):
    """How a challenger meets requests."""

    AB = "ab"
    SHADOW = "shadow"
    CANARY = "canary"


_LANES: Final = {Mode.AB: "challenger", Mode.CANARY: "challenger", Mode.SHADOW: "shadow"}

ModeOption = Annotated[
    Mode,
    typer.Option(
        "--mode", help="ab and canary: it answers its share; shadow: it only computes beside, and is compared."
    ),
]
Share = Annotated[
    float, typer.Option("--share", metavar="0.1", help="Share of requests that it answers or shadows, from 0 to 1.")
]


@app.callback(epilog="Example: towpath experiment start 2.1.0 -e staging --mode ab --reason 'is it better?'")
def experiment() -> None:
    """Let a challenger serve beside the champion, and look.

    It starts and stops by pull request.
    """


@app.command(epilog="Example: towpath experiment start 2.1.0 -e staging --mode ab --reason 'is it better?'")
def start(  # noqa: PLR0913 (a verb's options)
    release: Selector,
    *,
    environment: EnvironmentName,
    mode: ModeOption,
    share: Share = 0.1,
    reason: GivenReason,
    image: CarriedBy = None,
) -> None:
    """Propose that a challenger serves beside the champion.

    It must be as eligible as for a promotion and take what callers send already. The next promotion or rollback ends
    the experiment. Started again with another share, mode or challenger, it goes on with that.
    """
    workspace = Workspace.here()
    with working("Collecting the evidence"):
        pull = propose_experiment(
            workspace.desk,
            environment=environment,
            challenger=workspace.find(release),
            mode=mode.value,
            share=share,
            reason=reason,
            image=image,
        )
    present(pull)


@app.command(epilog="Example: towpath experiment stop --environment production --reason 'it does not pay'")
def stop(*, environment: EnvironmentName, reason: GivenReason) -> None:
    """Propose that the champion serves alone again: by the short lane of rollbacks, which no freeze stops."""
    workspace = Workspace.here()
    with working("Proposing the end"):
        pull = propose_experiment_stop(workspace.desk, environment=environment, model=workspace.model, reason=reason)
    present(pull)


@app.command(epilog="Example: towpath experiment status")
def status(*, environment: AnyEnvironment = None, as_json: AsJson = False) -> None:
    """Show the experiment that main declares for each environment, and what its service says of its lanes."""
    workspace = Workspace.here()
    found = [_standing(workspace, name) for name in workspace.chosen(environment)]
    if as_json:
        emit(found)
        return
    for standing in found:
        _tell(standing)


def _standing(workspace: Workspace, environment: str) -> dict[str, object]:
    deployment = workspace.declared(environment)
    declared = deployment.experiment if deployment else None
    lanes = _lanes(workspace, deployment) if deployment else {}
    wanted = {"champion": deployment.release.id} if deployment and deployment.release else {}
    if declared:
        wanted[_LANES[Mode(declared.mode)]] = declared.challenger.id
    return {
        "environment": environment,
        "declared": declared.plain() if declared else None,
        "lanes": lanes,
        "live": bool(declared) and lanes == wanted,
    }


def _lanes(workspace: Workspace, deployment: Deployment) -> dict[str, str]:
    """Return lane → release as the running service says; empty when none answers."""
    observed = TARGETS[deployment.target.kind](workspace.repository, deployment).observe()
    return dict(observed.version.lanes) if observed.version else {}


def _tell(standing: dict[str, object]) -> None:
    declared, lanes = standing["declared"], standing["lanes"]
    say(f"[bold]{plain(standing['environment']):<12}[/]  {_declared(declared)}")
    if isinstance(lanes, dict) and lanes:
        served = ", ".join(f"{lane} {short(release)}" for lane, release in sorted(lanes.items()))
        say(f"{'':<12}  served: {plain(served)}")
    if declared and not standing["live"]:
        say(f"{'':<12}  {mark('warn')} its lanes are not live as declared")
        next_step(f"towpath reconcile --environment {standing['environment']}")


def _declared(declared: object) -> str:
    if not isinstance(declared, dict):
        return "[dim]no experiment[/]"
    challenger = declared["challenger"]
    what = f"{challenger['semver']} ({short(challenger['id'])})"
    return f"[bold]{plain(what)}[/] in mode {declared['mode']}, share {declared['share']:.0%}"
