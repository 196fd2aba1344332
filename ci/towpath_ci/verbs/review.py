"""`towpath review`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from towpath_ci.console import complain, emit, mark, next_step, plain, say, working
from towpath_ci.doctor.base import State as CheckState
from towpath_ci.doctor.base import diagnose
from towpath_ci.doctor.inputs import gather
from towpath_ci.doctor.rules import RULES
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import RefusedError, TowpathError
from towpath_gitops.forges.base import State
from towpath_gitops.promotion.bystander import releases_nothing
from towpath_gitops.promotion.markdown import text
from towpath_gitops.promotion.review import Review
from towpath_gitops.promotion.review import review as judge

app = verb()

OneNumber = Annotated[int | None, typer.Argument(metavar="[N]", min=1, help="Number of the pull request.")]
Every = Annotated[bool, typer.Option("--all", help="Every open pull request; none of them fails the command.")]
Publish = Annotated[bool, typer.Option("--publish", help="Show the verdict on the forge: a check and one comment.")]


@app.command(epilog="Example: towpath review 7")
def review(
    number: OneNumber = None, *, every: Every = False, publish: Publish = False, as_json: AsJson = False
) -> None:
    """Say whether a pull request may merge, and if not, why.

    The required check: exits with 7 when it may not. What counts is what the merge would do to main as main is now. A
    pull request that releases nothing passes: the owners of its files judge it.
    """
    if (number is None) != every:
        message = "Say which pull request, or --all."
        raise typer.BadParameter(message)
    workspace = Workspace.here()
    if number is not None:
        verdict = _judge(workspace, number, publish=publish)
        _show([verdict], as_json=as_json)
        if not verdict.ok:
            raise RefusedError(f"Pull request #{number} may not be merged")
        return
    failures: list[TowpathError] = []
    verdicts = list(_judge_all(workspace, failures, publish=publish))
    _show(verdicts, as_json=as_json, several=True)
    if failures:
        raise typer.Exit(failures[0].exit_code)


@dataclass(frozen=True)
class _Verdict:
    """What review finds, and whether there is nothing for it to judge."""

    found: Review
    bystander: bool

    @property
    def ok(self) -> bool:
        return self.found.ok or self.bystander

    def plain(self) -> dict[str, object]:
        return self.found.plain() | {"ok": self.ok, "releases_nothing": self.bystander}


def _judge(workspace: Workspace, number: int, *, publish: bool) -> _Verdict:
    with working(f"Reviewing #{number}"):
        found = judge(workspace.desk, number)
        bystander = not found.ok and releases_nothing(workspace.repository, workspace.forge.get(number))
        verdict = _Verdict(found.model_copy(update={"reasons": ()}) if bystander else found, bystander)
        if publish:
            title, summary = _headline(verdict), _summary(verdict) + _holes(workspace)
            workspace.forge.check(number, head=found.head, ok=verdict.ok, title=title, summary=summary)
    return verdict


def _judge_all(workspace: Workspace, failures: list[TowpathError], *, publish: bool) -> Iterator[_Verdict]:
    """Judge every open pull request; one of which nothing can be said does not keep the others waiting."""
    for pull in workspace.forge.list(State.OPEN):
        try:
            yield _judge(workspace, pull.number, publish=publish)
        except TowpathError as error:
            complain(error)
            failures.append(error)


def _headline(verdict: _Verdict) -> str:
    if verdict.bystander:
        return "It releases nothing"
    return "It may be merged" if verdict.ok else "It may not be merged yet"


def _summary(verdict: _Verdict) -> str:
    """Return the verdict in Markdown; what strangers wrote into names shows as they wrote it."""
    found = verdict.found
    if verdict.bystander:
        return "No release, experiment, hold or evidence changes: the owners of its files judge it."
    if verdict.ok:
        return "Approved by " + ", ".join(map(text, found.approved_by)) if found.approved_by else "Nothing is missing."
    return "\n".join(f"- **{text(reason.rule)}**: {text(str(reason))}" for reason in found.reasons)


def _holes(workspace: Workspace) -> str:
    """Return, in Markdown, which of the forge's own rules leave a way around this verdict."""
    broken = [result for result in diagnose(RULES, gather(workspace.root)) if result.state is CheckState.FAIL]
    lines = [f"- not so: {text(result.title)} ({text(result.reason)})" for result in broken]
    heading = "\n\n**The rules of main leave a way around this verdict** (`towpath doctor`):\n\n"
    return heading + "\n".join(lines) if lines else ""


def _show(verdicts: list[_Verdict], *, as_json: bool, several: bool = False) -> None:
    if as_json:
        plain_ones = [verdict.plain() for verdict in verdicts]
        emit(plain_ones if several else plain_ones[0])
        return
    for verdict in verdicts:
        _tell(verdict)


def _tell(verdict: _Verdict) -> None:
    found = verdict.found
    say(f"[bold]#{found.number}[/] {plain(found.title)}")
    for reason in found.reasons:
        say(f"{mark('failed')} [bold]{plain(reason.rule)}[/]: {plain(reason.what)}")
        if reason.mend:
            say(f"    [cyan]→ {plain(reason.mend)}[/]")
    if verdict.bystander:
        say(f"{mark('ok')} It releases nothing: the owners of its files judge it.")
    elif verdict.ok:
        by = f", approved by {', '.join(found.approved_by)}" if found.approved_by else ""
        say(f"{mark('ok')} It may be merged{plain(by)}.")
        next_step(f"towpath merge {found.number}")
