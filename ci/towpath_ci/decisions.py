"""A decision document in short, for a terminal; `towpath pulls N` shows the whole."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from towpath_ci.console import mark, plain, say, table
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.decision import Decision, Gate
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.parsing import parse_json

# Kinds whose figures a reader wants to see even when all is well; of the others it is enough that they passed.
_IN_FULL: Final = {Kind.EVALUATION, Kind.COMPARISON}


def tell_decision(pull: Pull) -> None:
    """Print what a proposal changes, what was measured, and what still stands against it."""
    decision = parse_json(pull.data, Decision, source=f"the decision document of #{pull.number}")
    say(f"[bold]#{pull.number} {plain(pull.title)}[/]")
    say(plain(decision.summary))
    say(f"Why: {plain(decision.reason)}")
    for words in decision.differences.words:
        say(f"- {plain(words)}")
    if decision.gates:
        table("", ("evidence", "verdict", "found"), _gates(decision.gates))
    for reason in decision.reasons:
        say(f"{mark('failed')} [bold]{plain(reason.rule)}[/]: {plain(reason)}")
    if not decision.reasons:
        say(f"{mark('ok')} Nothing stands against it but the approvals: {decision.approvals} needed.")
    say(f"[dim]If it goes wrong: {plain(decision.rollback_target)}[/]\n")


def _gates(gates: tuple[Gate, ...]) -> Iterator[tuple[str, ...]]:
    for kind, members in groupby(gates, key=lambda gate: gate.kind):
        found = list(members)
        if kind not in _IN_FULL and all(gate.verdict is Verdict.PASS for gate in found):
            yield kind.value, mark(Verdict.PASS.value), f"{len(found)} gates passed"
            continue
        for gate in found:
            yield kind.value, mark(gate.verdict.value), plain(gate.message)
