"""Behaviour checks: one class each. The class docstring is the title, `check`'s what the user is told when it fails."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Final

from towpath_flows.evaluation.assessment import Assessment, one_line
from towpath_flows.evaluation.checks.answers import Range, Shape, Variation
from towpath_flows.evaluation.checks.base import Check, Labelled, Measured, Predict, Subject
from towpath_flows.evaluation.checks.consistency import ColumnOrder, Determinism, IgnoredColumns, RowOrder, SingleRows
from towpath_flows.evaluation.checks.keeping import Latency, Memory, RoundTrip
from towpath_flows.evaluation.checks.robustness import Boundaries, Extremes, MissingValues, Outliers, UnseenCategories
from towpath_flows.evaluation.checks.sensitivity import CorruptedUnits, Monotone, Perturbations
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.records.figures import BehaviourFigures

__all__ = ["BEHAVIOUR", "CHECKS", "Check", "Labelled", "Measured", "Predict", "Subject", "behave", "run"]

BEHAVIOUR: Final = "behaviour"  # the gate `{check: behaviour}` runs them all, and the owner's own

CHECKS: Final[Mapping[str, Check]] = {
    check.name: check
    for check in (
        Shape(),
        Range(),
        Variation(),
        Determinism(),
        RowOrder(),
        SingleRows(),
        ColumnOrder(),
        IgnoredColumns(),
        Monotone(),
        MissingValues(),
        UnseenCategories(),
        Extremes(),
        Boundaries(),
        Outliers(),
        CorruptedUnits(),
        Perturbations(),
        Memory(),
        RoundTrip(),
        Latency(),
    )
}


def run(check: Check, subject: Subject) -> Finding:
    """Return what one check found; a check that raises is an error, not a failure of the model.

    A check that does not apply passes and says so.
    """
    gate, title = f"behaviour {check.name}", _first_line(type(check))
    try:
        answer = check.check(subject)
    except Exception as error:  # noqa: BLE001 (any failure of a check is reported as one)
        words = f"{title} This could not be checked: {type(error).__name__}: {error}"
        return Finding(gate=gate, verdict=Verdict.ERROR, message=one_line(words))
    if answer is None:
        return Finding(gate=gate, verdict=Verdict.PASS, message=f"{title} Not applicable to these columns")
    if answer is True:
        return Finding(gate=gate, verdict=Verdict.PASS, message=title)
    told = _first_line(check.check)
    if isinstance(answer, Measured):
        advice = f" {told}" if answer.verdict is Verdict.FAIL else ""
        return answer.finding(gate, one_line(f"{answer.words}.{advice}"))
    words = told if answer is False else f"{answer}. {told}"
    return Finding(gate=gate, verdict=Verdict.FAIL, message=one_line(words))


def behave(subject: Subject, names: Sequence[str] = (BEHAVIOUR,), own: Mapping[str, Check] | None = None) -> Assessment:
    """Run the checks that the check gates name; `behaviour` stands for all of them and for the owner's `own`.

    A name that no check has gives an error finding: a gate that tests nothing must not pass. What `behaviour.skip`
    leaves out is told with its reason.
    """
    known, findings = {**CHECKS, **(own or {})}, list[Finding]()
    for name in (*names, *subject.expected.skip):
        if name == BEHAVIOUR:
            findings += [_asked(check, subject) for check in known.values()]
        elif name in known:
            findings.append(_asked(known[name], subject))
        else:
            words = f"There is no check called {name}; there are {', '.join((BEHAVIOUR, *known))}"
            findings.append(Finding(gate=f"check {name}", verdict=Verdict.ERROR, message=one_line(words)))
    figures = BehaviourFigures(rows=subject.rows).plain()
    return Assessment(Kind.BEHAVIOUR, tuple({finding.gate: finding for finding in findings}.values()), figures)


def _asked(check: Check, subject: Subject) -> Finding:
    reason = subject.expected.skip.get(check.name)
    if reason is None:
        return run(check, subject)
    message = one_line(f"{_first_line(type(check))} Left out by behaviour.skip: {reason}")
    return Finding(gate=f"behaviour {check.name}", verdict=Verdict.PASS, message=message)


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").strip().partition("\n")[0]
