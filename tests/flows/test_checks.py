from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from towpath_flows.evaluation.checks import BEHAVIOUR, CHECKS, Subject, behave, run
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.signature import Column, Signature, Task

Columns = Any
Answers = np.ndarray[Any, Any]
Predict = Callable[[Columns], Answers]

COLUMNS = {
    "amount": np.linspace(0, 1, 40, dtype=np.float32)[:, None],
    "seller": np.array(["a", "b"] * 20, dtype=object)[:, None],
}


def _signature(task: Task = "binary", *, nullable: bool = True, categories: tuple[str, ...] | None = None) -> Signature:
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": None}[task]
    inputs = (
        Column(name="amount", type="number", nullable=nullable, minimum=0.0),
        Column(name="seller", type="string", categories=categories),
    )
    return Signature(task=task, target="t", classes=classes, inputs=inputs)


def _good(columns: Columns) -> Answers:
    """Answer by the amount; missing counts as nothing, sellers are heard."""
    amount = np.clip(np.nan_to_num(columns["amount"]), 0, 1)
    return (0.1 + 0.7 * amount + 0.1 * (columns["seller"] == "a")).astype(np.float64)


def _subject(predict: Predict, signature: Signature | None = None) -> Subject:
    return Subject(signature or _signature(), predict, COLUMNS)


@dataclass
class _Moody:
    """Answers differently each time."""

    calls: list[int] = field(default_factory=list)

    def __call__(self, columns: Columns) -> Answers:
        self.calls.append(1)
        return _good(columns) + 1e-3 * len(self.calls)


def _neighbours(columns: Columns) -> Answers:
    return 0.5 + 0.0 * _good(columns) + np.linspace(0, 0.4, len(columns["amount"]))[:, None]


def _centred(columns: Columns) -> Answers:
    return 0.5 + (_good(columns) - _good(columns).mean()) / 4


def _closed(columns: Columns) -> Answers:
    if set(columns["seller"].ravel()) - {"a", "b"}:
        message = "unknown category"
        raise ValueError(message)
    return _good(columns)


BAD: dict[str, Predict] = {
    "determinism": _Moody(),
    "row-order": _neighbours,
    "single-rows": _centred,
    "missing-values": lambda columns: 0.5 + 0.1 * columns["amount"],
    "unseen-categories": _closed,
    "extremes": lambda columns: np.where(np.abs(columns["amount"]) > 1e6, np.inf, _good(columns)),
    "range": lambda columns: _good(columns) * 3,
    "variation": lambda columns: np.full((len(columns["amount"]), 1), 0.3),
}


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_a_good_model_and_refuses_its_known_bad_one(name: str) -> None:
    """A check that never refused anything is decoration."""
    assert run(CHECKS[name], _subject(_good)).verdict is Verdict.PASS
    assert run(CHECKS[name], _subject(BAD[name])).verdict is Verdict.FAIL


@pytest.mark.parametrize("name", CHECKS)
def test_findings_are_sentences(name: str) -> None:
    """Titles and explanations are docstrings, and end up in front of reviewers."""
    assert run(CHECKS[name], _subject(_good)).message.endswith((".", "columns"))
    assert len(run(CHECKS[name], _subject(BAD[name])).message) > 30


def test_a_failure_names_the_column() -> None:
    """Which column is not answered stands in the message."""
    assert "seller" in run(CHECKS["unseen-categories"], _subject(_closed)).message


def test_checks_that_do_not_apply_pass_and_say_so() -> None:
    """Without nullable or open columns there is nothing to check."""
    signature = _signature(nullable=False, categories=("a", "b"))
    for name in ("missing-values", "unseen-categories"):
        finding = run(CHECKS[name], _subject(_good, signature))
        assert finding.verdict is Verdict.PASS
        assert "Not applicable" in finding.message


def test_probabilities_of_classes_add_up() -> None:
    """A multiclass model whose probabilities do not add up to one is refused."""
    subject = _subject(lambda columns: np.full((len(columns["amount"]), 3), 0.5), _signature("multiclass"))
    assert run(CHECKS["range"], subject).verdict is Verdict.FAIL


def test_regression_may_answer_any_finite_number() -> None:
    """Values are not probabilities."""
    assert run(CHECKS["range"], _subject(lambda c: _good(c) * 1e6, _signature("regression"))).verdict is Verdict.PASS


def test_a_check_that_breaks_is_an_error() -> None:
    """A model that raises on plain rows is an error finding, not an exception."""

    def broken(_: Columns) -> Answers:
        message = "no memory"
        raise MemoryError(message)

    finding = run(CHECKS["determinism"], _subject(broken))
    assert finding.verdict is Verdict.ERROR
    assert "no memory" in finding.message


def test_the_behaviour_gate_runs_them_all() -> None:
    """`{check: behaviour}` is every check; a single name is one; an unknown name is an error."""
    assert len(behave(_subject(_good), (BEHAVIOUR,)).findings) == len(CHECKS)
    assert len(behave(_subject(_good), ("range",)).findings) == 1
    (finding,) = behave(_subject(_good), ("beauty",)).findings
    assert finding.verdict is Verdict.ERROR
    assert "determinism" in finding.message
