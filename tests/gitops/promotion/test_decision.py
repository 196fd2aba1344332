"""The decision document: complete for machines, readable and harmless for people."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.promotion.change import promote, rollback
from towpath_gitops.promotion.decision import Decision, decide, differences, markdown, title
from towpath_gitops.promotion.eligibility import Reason
from towpath_gitops.promotion.markdown import table, text
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.release import Release

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
COMPARISON = {
    "metric": "roc_auc",
    "champion": 0.6512,
    "challenger": 0.7023,
    "difference": 0.0511,
    "interval": [0.0411, 0.0612],
    "rows": 28000,
    "window": ["2013-04-01", "2013-05-31"],
    "flips": 1234,
    "corrected": 700,
}


def _release(semver: str, **fields: str) -> Release:
    digests = {"artifact": digest_of(semver), "schema": digest_of("schema"), "data": digest_of("data")}
    return Release.model_validate(
        {"model": "flights", "version": 1, "semver": semver, "code": "a" * 40} | digests | fields
    )


OLD = _release("1.0.0")
NEW = _release("1.1.0", code="b" * 40)
EMPTY = Deployment.model_validate(
    {
        "apiVersion": "towpath/v1",
        "kind": "Deployment",
        "model": "flights",
        "environment": "production",
        "target": {"kind": "local", "port": 3000},
    }
)
BEFORE = promote(EMPTY, OLD, "first", None)


def _evidence(kind: Kind, message: str = "It is 0.71", **fields: object) -> Evidence:
    finding = Finding(
        gate="roc_auc ≥ 0.68", verdict=Verdict.PASS, message=message, measured=0.71, interval=(0.7, 0.72), limit=0.68
    )
    values = {"kind": kind, "model": "flights", "release": NEW.id, "gates": digest_of("g"), "findings": (finding,)}
    return Evidence.model_validate(values | {"created": NOW - timedelta(hours=1)} | fields)


def _decide(reason: str = "weekly retrain", **fields: object) -> Decision:
    evidence = {
        Kind.EVALUATION: _evidence(Kind.EVALUATION),
        Kind.COMPARISON: _evidence(Kind.COMPARISON, details=COMPARISON),
    }
    options = {"evidence": evidence, "demanded": [Kind.EVALUATION, Kind.PARITY], "reasons": (), "approvals": 1}
    after = promote(BEFORE, NEW, reason, digest_of("bundle"))
    return decide(BEFORE, after, **(options | {"rollback_target": "towpath rollback leads back."} | fields))


def test_it_says_the_change_in_one_sentence() -> None:
    """What serves instead of what; the first release; the way back."""
    assert _decide().summary.startswith("production serves flights 1.1.0 (")
    assert "instead of 1.0.0 (" in _decide().summary
    options = {"evidence": {}, "demanded": (), "reasons": (), "rollback_target": "x", "approvals": 0}
    assert decide(EMPTY, BEFORE, **options).summary.startswith("production begins to serve flights")
    back = decide(BEFORE, rollback(BEFORE, NEW, "late", "ada@example.org", NOW), **options)
    assert back.summary.startswith("production goes back from flights 1.0.0")
    assert title(back) == "Roll flights in production back to 1.1.0"
    assert "It needs no approval." in markdown(back)
    assert "None is asked of this change." in markdown(back)


def test_it_shows_gates_figures_and_digests() -> None:
    """Measured, interval, limit and verdict of each gate; the comparison with its interval, window and flips."""
    page = markdown(_decide())
    assert re.search(r"\| ✅ \| evaluation \| roc_auc ≥ 0.68 \| 0.71 \| 0.7000 to 0.7200 \| 0.68 \|", page)
    assert "| 0.6512 | 0.7023 | +0.0511 | 0.0411 to 0.0612 | 28,000 | 2013-04-01 to 2013-05-31 | 1,234 |" in page
    assert f"`{NEW.id}`" in page
    assert "towpath rollback leads back." in page
    assert "1 approval of an owner" in page


def test_missing_evidence_is_a_failing_line() -> None:
    """Demanded and absent: shown as an error, in both forms."""
    decision = _decide()
    assert [gate.verdict for gate in decision.gates if gate.kind is Kind.PARITY] == [Verdict.ERROR]
    assert "| ❌ | parity |" in markdown(decision)
    assert "missing: never a pass" in markdown(decision)


def test_reasons_are_listed_with_what_would_mend_them() -> None:
    """A document with reasons says no before anything else."""
    page = markdown(_decide(reasons=(Reason(rule="soak", what="Too young", mend="Wait an hour."),)))
    assert "❌ As things stand it may not be merged" in page
    assert "- `soak` Too young. Wait an hour." in page
    assert "Nothing stands against it" in markdown(_decide())


@pytest.mark.parametrize("details", [{}, {"metric": "roc_auc"}, {**COMPARISON, "difference": "much"}, {"rows": 1}])
def test_a_comparison_without_its_figures_is_left_out(details: dict[str, object]) -> None:
    """The first release has none; broken figures are not shown as if they were."""
    evidence = {Kind.COMPARISON: _evidence(Kind.COMPARISON, details=details)}
    decision = _decide(evidence=evidence)
    assert decision.comparison is None
    assert "Champion against challenger" not in markdown(decision)


@pytest.mark.parametrize(
    ("new", "semver", "flags", "words"),
    [
        (_release("2.0.0", schema=digest_of("other")), "major", (True, False, False), "callers may have to send"),
        (_release("1.1.0", code="b" * 40), "minor", (False, True, False), "Trained by commit bbbbbbbbbbbb"),
        (_release("1.0.1", data=digest_of("more")), "patch", (False, False, True), "Trained on data"),
        (_release("1.0.0", artifact=digest_of("x")), "none", (False, False, False), "callers need not change"),
    ],
)
def test_it_says_what_differs(new: Release, semver: str, flags: tuple[bool, ...], words: str) -> None:
    """Schema, code and data, and the step of the semantic version."""
    found = differences(OLD, new)
    assert (found.semver, (found.input_schema, found.code, found.data)) == (semver, flags)
    assert any(words in sentence for sentence in found.words)


def test_it_survives_its_own_json() -> None:
    """What machines read is all that people are shown."""
    decision = _decide()
    read = Decision.model_validate_json(decision.model_dump_json(by_alias=True))
    assert read == decision
    assert markdown(read) == markdown(decision)


def test_hostile_words_stay_words() -> None:
    """A reason and a finding cannot add links, images, HTML, mentions, rows or headings."""
    hostile = "<img src=x onerror=alert(1)> [approve](https://evil.example) @grace | pass | ![x](y) `code` # No"
    finding = Finding(gate="g", verdict=Verdict.FAIL, message=hostile)
    evidence = {Kind.EVALUATION: _evidence(Kind.EVALUATION, findings=(finding,))}
    page = markdown(_decide(hostile, evidence=evidence))
    for sign in ("<img", "](", "@grace", "| pass |", "`code`"):
        assert sign not in page
    assert "&lt;img" in page


@given(st.text())
def test_no_text_breaks_a_table_or_opens_markup(words: str) -> None:
    """One line, no live sign, and a table keeps its shape."""
    line = text(words)
    assert not re.search(r"[\n\r<>|`*\[\]@\\]|\b__|(^|\W)_|_(\W|$)", line)
    assert [row.count("|") for row in table(["a", "b"], [["x", words or "y"]]).split("\n")] == [3, 3, 3]


def test_a_deployment_without_a_release_is_no_decision() -> None:
    """There is nothing to decide about nothing."""
    with pytest.raises(ValueError, match="changes nothing"):
        decide(BEFORE, EMPTY, evidence={}, demanded=(), reasons=(), rollback_target="", approvals=0)
