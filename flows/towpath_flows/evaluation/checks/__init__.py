"""Behaviour checks: one class each. The class docstring is the title, `check`'s what the user is told when it fails."""

import inspect
from collections.abc import Mapping
from typing import Final

from towpath_flows.evaluation.assessment import Assessment, one_line
from towpath_flows.evaluation.checks.answers import Range, Variation
from towpath_flows.evaluation.checks.base import Check, Subject
from towpath_flows.evaluation.checks.consistency import Determinism, RowOrder, SingleRows
from towpath_flows.evaluation.checks.robustness import Extremes, MissingValues, UnseenCategories
from towpath_gitops.records.evidence import Finding, Kind, Verdict

__all__ = ["BEHAVIOUR", "CHECKS", "Check", "Subject", "behave", "run"]

BEHAVIOUR: Final = "behaviour"  # the gate `{check: behaviour}` runs them all

CHECKS: Final[Mapping[str, Check]] = {
    check.name: check
    for check in (
        Determinism(),
        RowOrder(),
        SingleRows(),
        MissingValues(),
        UnseenCategories(),
        Extremes(),
        Range(),
        Variation(),
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
    words = told if answer is False else f"{answer}. {told}"
    return Finding(gate=gate, verdict=Verdict.FAIL, message=one_line(words))


def behave(subject: Subject, names: tuple[str, ...] = (BEHAVIOUR,)) -> Assessment:
    """Run the checks that the check gates name; `behaviour` stands for all of them.

    A name that no check has gives an error finding: a gate that tests nothing must not pass.
    """
    findings: list[Finding] = []
    for name in names:
        if name == BEHAVIOUR:
            findings += [run(check, subject) for check in CHECKS.values()]
        elif name in CHECKS:
            findings.append(run(CHECKS[name], subject))
        else:
            words = f"There is no check called {name}; there are {', '.join((BEHAVIOUR, *CHECKS))}"
            findings.append(Finding(gate=f"check {name}", verdict=Verdict.ERROR, message=words))
    return Assessment(Kind.BEHAVIOUR, tuple(dict.fromkeys(findings)), {"rows": subject.rows})


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").splitlines()[0]
