from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from towpath_ci.drills import DRILLS
from towpath_ci.drills.base import run as drilled
from towpath_ci.drills.behaviour import BehaviourDrill, subject
from towpath_flows.data import Splits
from towpath_flows.evaluation.checks import BEHAVIOUR, CHECKS, Subject, behave, run
from towpath_flows.evaluation.checks.base import share_within
from towpath_flows.evaluation.checks.own import own_checks
from towpath_flows.evaluation.judgement import assess_behaviour
from towpath_flows.evidence_spec import BehaviourSpec
from towpath_flows.project import Project
from towpath_flows.training import Exported
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.signature import Column, Signature, Task

if TYPE_CHECKING:
    from towpath_ci.drills.stage import Stage

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


def _closed(columns: Columns) -> Answers:
    if set(columns["seller"].ravel()) - {"a", "b"}:
        message = "unknown category"
        raise ValueError(message)
    return _good(columns)


DRILLED = {drill.check: drill for drill in DRILLS if issubclass(drill, BehaviourDrill)}


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_a_sober_model_of_each_task_and_refuses_its_known_bad_one(name: str) -> None:
    """A check that never refused anything is decoration: each has a drill, and the drill holds."""
    (result,) = drilled([DRILLED[name]], cast("Stage", None))
    assert result.held, result.reason


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_that_waves_everything_through_fails_its_drill(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the check blind, its own drill says so."""
    monkeypatch.setattr(type(CHECKS[name]), "check", lambda *_: True)
    (result,) = drilled([DRILLED[name]], cast("Stage", None))
    assert not result.held
    assert "nobody did" in result.reason


@pytest.mark.parametrize("name", CHECKS)
def test_findings_are_sentences(name: str) -> None:
    """Titles and explanations are docstrings, and end up in front of reviewers."""
    assert run(CHECKS[name], _subject(_good)).message.endswith((".", "columns"))
    drill = DRILLED[name]()
    (refusal,) = drill.bad(cast("Stage", None))
    assert refusal.reason.endswith((".", "…"))
    assert len(refusal.reason) > 60


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


@pytest.mark.parametrize(("noise", "verdict"), [(1.0, Verdict.PASS), (0.0, Verdict.FAIL)])
def test_a_value_may_move_as_far_as_the_model_errs(noise: float, verdict: Verdict) -> None:
    """A regression in steps is nervous only where its steps are greater than what it does not know anyway."""

    def steps(columns: Columns) -> Answers:
        return np.asarray(np.floor(columns["amount"].astype(np.float64) * 200) % 2 + columns["amount"])

    truth = steps(COLUMNS)[:, 0] + noise * np.random.default_rng(0).choice([-1.5, 1.5], 40)
    subject = replace(_subject(steps, _signature("regression")), truth=truth)
    assert run(CHECKS["perturbations"], subject).verdict is verdict


def test_marks_are_not_moved_to_where_none_can_be() -> None:
    """Between a mark of 2 and one of 3 lies nothing: a model may decide by exactly these."""
    marks = np.repeat(np.arange(1.0, 5.0, dtype=np.float32), 10)[:, None]
    subject = Subject(_signature(), lambda c: np.where(c["amount"] >= 3, 0.9, 0.1), {**COLUMNS, "amount": marks})
    assert "Not applicable" in run(CHECKS["perturbations"], subject).message
    fine = replace(subject, columns={**COLUMNS, "amount": np.linspace(2.99, 3.01, 40, dtype=np.float32)[:, None]})
    finding = run(CHECKS["perturbations"], fine)
    assert finding.message.startswith("Moving amount by 1.0%")


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


# --- what the owner expects ---------------------------------------------------------------------------------------


def test_a_check_is_left_out_only_with_a_reason() -> None:
    """`behaviour.skip` leaves a check out, and the finding tells why; a name that no check has is an error."""
    sound = subject("binary", {"skip": {"latency": "served in batches at night", "beauty": "none needed"}})
    found = {finding.gate: finding for finding in behave(sound).findings}
    assert found["behaviour latency"].verdict is Verdict.PASS
    assert "served in batches at night" in found["behaviour latency"].message
    assert found["check beauty"].verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("hits", "rows", "limit", "verdict"),
    [
        (0, 20, 0.0, Verdict.PASS),
        (1, 1000, 0.0, Verdict.FAIL),
        (10, 1000, 0.1, Verdict.PASS),
        (100, 1000, 0.1, Verdict.INCONCLUSIVE),
        (300, 1000, 0.1, Verdict.FAIL),
    ],
)
def test_a_share_is_judged_by_its_interval(hits: int, rows: int, limit: float, verdict: Verdict) -> None:
    """Few rows near the limit do not tell, and the verdict says so."""
    assert share_within(hits, rows, limit, "Some").verdict is verdict


def test_a_share_near_its_limit_says_how_many_rows_would_tell() -> None:
    """An inconclusive share names the rows that would settle it, and where to ask for them."""
    found = share_within(90, 1000, 0.1, "Some")
    assert found.needed_rows
    assert "behaviour.rows" in found.words


def test_memory_near_its_limit_says_how_many_rows_would_tell() -> None:
    """Where chance alone may have told learned rows from others, the verdict is open and names the rows it takes."""
    finding = run(CHECKS["memory"], subject("binary", {"memory": 0.51}))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.needed_rows
    assert "of each would settle it" in finding.message


def test_units_are_measured_even_where_they_are_not_judged() -> None:
    """Without a limit the share of flips is told, and passes."""
    finding = run(CHECKS["corrupted-units"], subject("binary", {}))
    assert finding.verdict is Verdict.PASS
    assert "not judged" in finding.message
    assert finding.measured is not None


def test_a_falling_column_may_not_rise() -> None:
    """The sober model rises with the distance: expecting the opposite fails."""
    falling = subject("regression", {"monotone": {"columns": {"distance": "decreasing"}}})
    assert run(CHECKS["monotone"], falling).verdict is Verdict.FAIL


def test_wide_tables_are_asked_with_fewer_rows() -> None:
    """Two thousand variants of every row would take minutes: rows from all over the sample stand for the rest."""
    sound = subject("binary", {})
    thin = sound.thinned(2000)
    assert thin.rows == 50
    assert thin.truth is not None
    assert len(thin.truth) == 50
    assert sound.thinned(10).rows == sound.rows


def test_rows_that_the_service_refuses_are_not_sent() -> None:
    """The round trip goes with those that it takes; when there are none, it fails."""
    sound = subject("binary", {})
    empty = {**sound.columns, "distance": sound.columns["distance"] + 1000}
    assert "refuses every row" in run(CHECKS["round-trip"], replace(sound, columns=empty, reopen=None)).message


OWN = '''\
"""What we expect of the model ourselves."""


class Kindness:
    """Nobody is told a chance above 99 %."""

    name = "kindness"

    def check(self, subject):
        """Some answers sound more certain than we ever are."""
        return bool((subject.predict(subject.columns) < 0.99).all())
'''


def test_owners_add_checks_of_their_own(published: Project, exported: Exported, splits: Splits) -> None:
    """A class in tests/behaviour.py is a check like any other: it stands in the evidence of the behaviour gate."""
    (published.root / "tests").mkdir()
    (published.root / "tests" / "behaviour.py").write_text(OWN)
    assessment = assess_behaviour(published, exported.folder, splits.test, splits.train)
    assert assessment
    found = {finding.gate: finding.verdict for finding in assessment.findings}
    assert found["behaviour kindness"] is Verdict.PASS
    assert len(found) == len(CHECKS) + 1
    assert {finding.message for finding in assessment.findings if finding.verdict is not Verdict.PASS} == set()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "import nothing_of_this_name\n", "cannot be imported"),
        ('"kindness"', '"Kind ness"', "no usable name"),
        ('"kindness"', '"range"', "already a check called range"),
        ('"""Some answers sound more certain than we ever are."""\n', "", "lacks a docstring"),
        ('    name = "kindness"\n', '    name = "kindness"\n\n    def __init__(self, way):\n        ...\n', "failed"),
    ],
)
def test_a_check_of_ones_own_that_cannot_be_used_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    """What is wrong with the owner's file is said before anything is judged."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "behaviour.py").write_text(OWN.replace(old, new, 1))
    with pytest.raises(InvalidFileError, match=words):
        own_checks(tmp_path, None, CHECKS)


def test_without_a_file_there_are_no_own_checks(tmp_path: Path) -> None:
    """The default file may be missing; one that model.yaml names may not, nor lie elsewhere."""
    assert own_checks(tmp_path, None, CHECKS) == {}
    with pytest.raises(InvalidFileError, match="cannot be imported"):
        own_checks(tmp_path, "tests/mine.py", CHECKS)
    with pytest.raises(InvalidFileError, match="outside the repository"):
        own_checks(tmp_path, "../mine.py", CHECKS)


def test_a_column_that_must_not_matter_has_no_direction() -> None:
    """Two expectations that contradict each other are refused."""
    with pytest.raises(ValueError, match="has no direction: night"):
        BehaviourSpec.model_validate({"ignored": ["night"], "monotone": {"columns": {"night": "increasing"}}})
