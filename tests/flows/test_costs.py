"""Many classes decided by what mistakes cost: alike in training, in evidence and in service."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from towpath_bento.deciding import least_cost
from towpath_bento.lane import open_lane
from towpath_bento.wire import predictions
from towpath_flows.data import Splits, load, split, validate
from towpath_flows.evaluation.judgement import assess_against, assess_worth
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.training import Exported, TuneResult, export, fit
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.figures import ComparisonFigures
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Column, Signature

COSTS = "threshold: {costs: {DE: {FR: 1, IT: 1}, FR: {DE: 9, IT: 1}, IT: {DE: 9, FR: 1}}}"
BEFORE = "task: binary\ntarget: returned"
DIGEST = "sha256:" + "1" * 64
CHAMPION = Release(
    model="returns", version=1, semver="1.0.0", artifact=DIGEST, schema=DIGEST, data=DIGEST, code="0" * 40
)

New = Callable[..., Project]
chances = st.integers(2, 6).flatmap(
    lambda k: arrays(np.float32, st.tuples(st.integers(1, 20), st.just(k)), elements=st.floats(0, 1, width=32))
)


@given(chances)
def test_where_every_mistake_costs_the_same_the_likeliest_is_decided_for(p: np.ndarray) -> None:
    """With costs of 0 and 1 the decision is the argmax, equals included, whatever float32 rounds."""
    flat = tuple(tuple(float(one != other) for other in range(p.shape[1])) for one in range(p.shape[1]))
    np.testing.assert_array_equal(least_cost(p, flat), p.argmax(axis=1))


@given(chances, st.integers(0, 2**32 - 1))
def test_nothing_cheaper_could_have_been_decided(p: np.ndarray, seed: int) -> None:
    """The expected cost of the decision is the least of all, and a row is decided alike by itself."""
    costs = np.random.default_rng(seed).random((p.shape[1], p.shape[1]))
    matrix = tuple(map(tuple, costs.tolist()))
    decided, expected = least_cost(p, matrix), p.astype(float) @ costs
    np.testing.assert_allclose(expected[np.arange(len(p)), decided], expected.min(axis=1), atol=1e-12)
    assert [int(least_cost(p[[row]], matrix)[0]) for row in range(len(p))] == decided.tolist()


@pytest.mark.parametrize(
    ("threshold", "reason"),
    [
        ("{costs: {DE: {FR: 1}, FR: {DE: 9, IT: 1}, IT: {DE: 9, FR: 1}}}", "costs.DE says nothing of deciding for IT"),
        ("{costs: {DE: {FR: 1, UK: 2}, FR: {DE: 9}}}", "costs.DE prices UK, which has no costs of its own"),
        ("{costs: {DE: {DE: 2, FR: 1}, FR: {DE: 9}}}", "no dearer than the right decision"),
        ("{costs: {DE: {FR: 1}, FR: {DE: 9}}, recall: 0.5}", "give one of cost, costs"),
        ("{cost: {false_alarm: 1, miss: 2}}", "decides without one, or by `costs`"),
    ],
)
def test_a_matrix_that_makes_no_sense_is_refused(new_project: New, threshold: str, reason: str) -> None:
    """A mistake without a price, a class without a row, a right decision dearer than a wrong one: each is named."""
    with pytest.raises(InvalidFileError, match=reason):
        new_project(spec=(BEFORE, f"{BEFORE.replace('binary', 'multiclass')}\nthreshold: {threshold}"))


def test_a_binary_task_has_its_own_matrix(new_project: New) -> None:
    """Two classes have two mistakes, which have names."""
    with pytest.raises(InvalidFileError, match=r"a binary task has threshold\.cost"):
        new_project(spec=(BEFORE, f"{BEFORE}\nthreshold: {{costs: {{a: {{b: 1}}, b: {{a: 1}}}}}}"))


def priced(new_project: New, costs: str = COSTS) -> tuple[Project, Splits]:
    """Return a project that tells countries apart, at these costs, and its rows."""
    gates = "gates:\n  - {metric: cost, max: 3}\n  - {metric: cost, against: champion, margin: 0.1, confidence: 0.95}\n"
    project = new_project(spec=(BEFORE, f"task: multiclass\ntarget: country\n{costs}"))
    path = project.root / "model.yaml"
    text = path.read_text().replace("exclude: [refund_days]", "exclude: [refund_days, returned]")
    path.write_text(text.replace("gates:\n  - {metric: roc_auc, min: 0.6}\n", gates))
    project = Project.open(project.root)
    return project, split(project, validate(project, load(project)).frame)


def exported(project: Project, parts: Splits, folder: Path) -> Exported:
    """Train and export."""
    model = fit(project, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, (), rounds=15))
    return export(model, parts, folder)


def test_costs_must_be_of_the_targets_own_classes(new_project: New) -> None:
    """A matrix that knows other classes than the rows is refused in training, which names both."""
    project, parts = priced(new_project, COSTS.replace("IT", "UK"))
    with pytest.raises(InvalidFileError, match="other classes") as told:
        exported(project, parts, project.root / "model")
    assert told.value.why == "Without costs: IT. Unknown: UK."


def test_decided_alike_everywhere(new_project: New, tmp_path: Path) -> None:
    """The service decides as training counted: by the matrix in the signature, seldom for the class that is dear.

    The evidence holds the mean cost with its interval, judges it by its gate, and compares it with the champion's.
    """
    project, parts = priced(new_project)
    made = exported(project, parts, tmp_path / "model")
    signature = made.signature
    assert signature.costs == ((0, 1, 1), (9, 0, 1), (9, 1, 0))
    assert {finding.verdict for finding in made.parity} == {Verdict.PASS}
    scorer = Scorer.open(made.folder)
    answers, truth = scorer.answers(parts.test), scorer.features.y(parts.test)
    decided = (answers @ np.array(signature.costs)).argmin(axis=1)
    assert (decided != answers.argmax(axis=1)).any()
    labels = [signature.classes[code] for code in decided] if signature.classes else []
    assert [told["label"] for told in predictions(signature, answers)] == labels
    worth = assess_worth(project, made.folder, parts.test)
    cost = worth.details["metrics"]["cost"]
    assert cost["value"] == pytest.approx(np.array(signature.costs)[truth, decided].mean())
    assert cost["low"] < cost["value"] < cost["high"]
    assert [finding.gate for finding in worth.findings] == ["cost ≤ 3"]
    against = assess_against(project, made.folder, parts.test, CHAMPION, made.folder)
    assert against is not None
    rivals = ComparisonFigures.model_validate(against.details).rivals
    assert rivals is not None
    assert (rivals.metrics[0].metric, rivals.metrics[0].difference, rivals.replay.flips) == ("cost", 0, 0)


def test_golden_requests_hold_and_the_lane_decides(new_project: New, tmp_path: Path) -> None:
    """A lane opened from the files repeats its golden requests, and its codec labels by cost."""
    project, parts = priced(new_project)
    made = exported(project, parts, tmp_path / "model")
    lane = open_lane(made.folder, release=DIGEST, artifact=DIGEST)
    rows = json.loads((made.folder / GOLDEN).read_text())["cases"][0]["rows"]
    values = lane.engine.predict(lane.codec.decode(json.dumps({"rows": rows}).encode()).columns)
    told = json.loads(lane.codec.encode(DIGEST, values))["predictions"]
    costs, classes = np.array(made.signature.costs), made.signature.classes or ()
    assert [each["label"] for each in told] == [classes[code] for code in (values @ costs).argmin(axis=1)]


def test_a_signature_without_costs_keeps_its_bytes_and_a_crooked_matrix_is_none() -> None:
    """Releases made before costs existed are unchanged; a matrix must be square over the classes."""
    values = {"task": "multiclass", "target": "y", "classes": ("a", "b"), "inputs": (Column(name="x", type="number"),)}
    assert "costs" not in Signature.model_validate(values).model_dump_json()
    with pytest.raises(ValueError, match="square matrix"):
        Signature.model_validate(values | {"costs": ((0.0, 1.0),)})
