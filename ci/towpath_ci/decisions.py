"""A decision document on a terminal: in short when something is proposed, whole for `towpath pulls N`."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from towpath_ci.console import mark, plain, say, table
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import document, wording
from towpath_gitops.promotion.decision import Decision, Gate
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.figures import Rivals
from towpath_gitops.records.parsing import parse_json

# Kinds whose figures a reader wants to see even when all is well; of the others it is enough that they passed.
_IN_FULL: Final = {Kind.EVALUATION, Kind.COMPARISON}
_COLOURS: Final = {"better": "green", "worse": "red", "unclear": "dim"}


def read_decision(pull: Pull) -> Decision:
    """Return the decision document of a pull request.

    Raises:
        InvalidFileError: it has none, or one of another version.
    """
    return parse_json(pull.data, Decision, source=f"the decision document of #{pull.number}")


def tell_decision(pull: Pull) -> None:
    """Print what a proposal changes, what was measured, and what still stands against it."""
    decision = read_decision(pull)
    _begin(pull, decision)
    rivals = decision.compared.figures.rivals if decision.compared else None
    if rivals is not None:
        say(plain(document.flips(rivals.replay)))
    if decision.gates:
        table("", ("evidence", "verdict", "found"), _gates(decision.gates))
    _verdict(decision)
    say(f"[dim]If it goes wrong: {plain(decision.way_back.words)}[/]\n")


def tell_in_full(pull: Pull) -> None:
    """Print the whole document, but for its pictures."""
    decision = read_decision(pull)
    _begin(pull, decision)
    _verdict(decision)
    _compared(decision)
    _costs(decision)
    if decision.gates:
        table("Gates", ("evidence", "verdict", "gate", "found"), _all_gates(decision.gates))
    _history(decision)
    _look(decision)


def _begin(pull: Pull, decision: Decision) -> None:
    say(f"[bold]#{pull.number} {plain(pull.title)}[/]")
    say(plain(decision.summary))
    say(f"Why: {plain(decision.reason)}")
    for words in decision.differences.words if decision.differences else ():
        say(f"- {plain(words)}")


def _verdict(decision: Decision) -> None:
    for reason in decision.reasons:
        say(f"{mark('failed')} [bold]{plain(reason.rule)}[/]: {plain(reason)}")
    if not decision.reasons:
        say(f"{mark('ok')} Nothing stands against it but the approvals: {decision.approvals} needed.")


def _gates(gates: tuple[Gate, ...]) -> Iterator[tuple[str, ...]]:
    for kind, members in groupby(gates, key=lambda gate: gate.kind):
        found = list(members)
        if kind not in _IN_FULL and all(gate.verdict is Verdict.PASS for gate in found):
            yield kind.value, mark(Verdict.PASS.value), f"{len(found)} gates passed"
            continue
        for gate in found:
            yield kind.value, mark(gate.verdict.value), plain(gate.message)


def _all_gates(gates: Sequence[Gate]) -> Iterator[tuple[str, ...]]:
    for gate in gates:
        yield gate.kind.value, mark(gate.verdict.value), plain(gate.gate), plain(gate.message)


def _compared(decision: Decision) -> None:
    compared = decision.compared
    if compared is None:
        return
    rivals = compared.figures.rivals
    say("\n[bold]Champion against challenger[/]")
    if rivals is None:
        say(plain(compared.figures.silence or ""))
        rows = document.evaluated(decision.evaluation) if decision.evaluation else []
        table("", document.EVALUATED, [tuple(map(plain, row)) for row in rows])
        return
    say(plain(document.setting(compared, rivals)))
    rows = [document.metric(each) for each in rivals.metrics]
    table("", document.METRICS, [(*map(plain, row[:5]), _coloured(row[5]), plain(row[6])) for row in rows])
    _replayed(rivals)


def _coloured(standing: str) -> str:
    return f"[{_COLOURS[standing]}]{standing}[/]"


def _replayed(rivals: Rivals) -> None:
    say(plain(document.flips(rivals.replay)))
    rows = document.segments(rivals.replay)
    if rows:
        table("", document.SEGMENTS, [tuple(map(plain, row)) for row in rows])
    rows = document.calibrations(rivals)
    if rows:
        table("Calibration", document.CALIBRATION, [tuple(map(plain, row)) for row in rows])


def _costs(decision: Decision) -> None:
    if decision.compared is not None:
        heads, rows = document.costs(decision.compared.figures)
        table("Latency, memory and cost", heads, [tuple(map(plain, row)) for row in rows])


def _history(decision: Decision) -> None:
    found = decision.differences
    if found and found.steps:
        say("[bold]Commits between the two[/]")
    for step in found.steps if found else ():
        say(f"  [dim]{step.commit[:12]}[/] {plain(step.subject)}")
    if found and found.more_steps:
        say(f"  [dim]and {wording.count(found.more_steps)} more[/]")
    if decision.data is not None:
        table("Data", document.DATA, [tuple(map(plain, row)) for row in document.data(decision.data)])
    if decision.upstream is not None:
        say(plain(document.upstream(decision.upstream, decision.environment)))


def _look(decision: Decision) -> None:
    say(f"If it goes wrong: {plain(decision.way_back.words)}")
    for reason in decision.way_back.reasons:
        say(f"  {plain(reason)}")
    rows = [(plain(link.what), plain(link.to)) for link in decision.links]
    rows += [(plain(f"picture {picture.name}"), plain(picture.to)) for picture in decision.pictures]
    table("Look for yourself", ("", ""), rows)
