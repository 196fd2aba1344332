"""Asking a service for proof, with answers of every kind."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_gitops.delivery.loopback import Answer
from towpath_gitops.delivery.verification import Question, serving_digest, verify
from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Evidence, Verdict
from towpath_gitops.records.release import Release

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RELEASE = Release(
    model="flights",
    version=1,
    semver="1.0.0",
    artifact=digest_of("artifact"),
    input_schema=digest_of("schema"),
    data=digest_of("data"),
    code="c" * 40,
)
TASKS = {
    "binary": (["no", "yes"], [[0.25]], [{"label": "no", "probability": 0.25}]),
    "multiclass": (["a", "b"], [[0.25, 0.75]], [{"label": "b", "probabilities": {"b": 0.75, "a": 0.25}}]),
    "regression": (None, [[12.5]], [{"value": 12.5}]),
}


@pytest.fixture(params=TASKS)
def question(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Question, list[dict[str, Any]]]:
    """A question about an artifact of each task, and the right predictions."""
    classes, expected, right = TASKS[request.param]
    signature = {"task": request.param, "target": "y", "classes": classes, "inputs": [{"name": "x", "type": "number"}]}
    (tmp_path / "signature.json").write_text(json.dumps(signature))
    (tmp_path / "golden.json").write_text(json.dumps({"cases": [{"rows": [{"x": 1.0}], "expected": expected}]}))
    return Question(RELEASE, "staging", tmp_path, digest_of("gates"), None), right


def service(
    predictions: object = None, *, status: int = 200, release: str = RELEASE.id, body: bytes | None = None
) -> Callable[[str, bytes | None], Answer]:
    """Return a service that says it is `release` and answers every request alike."""
    version = {"model": "flights", "environment": "staging", "release": release, "lanes": {"champion": release}}

    def ask(path: str, _: bytes | None) -> Answer:
        if path == "/version":
            return Answer(200, json.dumps(version).encode(), {})
        answer = json.dumps({"release": release, "predictions": predictions}).encode() if body is None else body
        return Answer(status, answer, {})

    return ask


def _verdicts(evidence: Evidence) -> dict[str, Verdict]:
    return {finding.gate.split()[0]: finding.verdict for finding in evidence.findings}


def test_the_right_answers_pass(question: Any) -> None:  # noqa: ANN401 (a fixture's pair)
    """Identity and values hold, for every task, and the evidence is bound to the environment."""
    asked, right = question
    evidence = verify(service(right), asked, NOW)
    assert _verdicts(evidence) == {"identity": Verdict.PASS, "golden": Verdict.PASS}
    assert (evidence.environment, evidence.release) == ("staging", RELEASE.id)


def test_the_same_bytes_are_demanded_of_the_same_code(question: Any) -> None:  # noqa: ANN401 (a fixture's pair)
    """Equal bytes pass, other bytes fail even when the values are right."""
    asked, right = question
    before = verify(service(right), asked, NOW).details["answers"]
    again = Question(asked.release, asked.environment, asked.artifact, asked.gates, before)
    assert _verdicts(verify(service(right), again, NOW))["same"] is Verdict.PASS
    spaced = json.dumps({"release": RELEASE.id, "predictions": right}, indent=1).encode()
    evidence = verify(service(body=spaced), again, NOW)
    assert _verdicts(evidence) == {"identity": Verdict.PASS, "golden": Verdict.PASS, "same": Verdict.FAIL}


def test_another_release_fails_by_its_identity(question: Any) -> None:  # noqa: ANN401 (a fixture's pair)
    """A service that answers rightly under another name is not the release."""
    asked, right = question
    evidence = verify(service(right, release=digest_of("other")), asked, NOW)
    assert set(_verdicts(evidence).values()) == {Verdict.FAIL}


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": []},
        {"predictions": None},
        {"predictions": [{"surprise": 1}]},
        {"predictions": [[1, 2]]},
        {"predictions": [{"probability": "x", "probabilities": 3, "value": None}]},
        {"status": 500, "body": b"Oh\x00no\n" * 400},
        {"body": b"not JSON"},
        {"body": b"\xff\xfe"},
        {"body": b"[]"},
        {"body": b'{"release": 1, "predictions": []}'},
    ],
    ids=str,
)
def test_answers_of_a_wrong_form_are_a_failure_not_a_crash(question: Any, answer: dict[str, Any]) -> None:  # noqa: ANN401 (a fixture's pair)
    """Whatever a broken service says becomes a finding that a person can read."""
    evidence = verify(service(**answer), question[0], NOW)
    assert _verdicts(evidence)["golden"] is Verdict.FAIL


@pytest.mark.parametrize(("difference", "verdict"), [(0.9e-6, Verdict.PASS), (1.1e-6, Verdict.FAIL)])
def test_the_tolerance_is_kept(question: Any, difference: float, verdict: Verdict) -> None:  # noqa: ANN401 (a fixture's pair)
    """A millionth, relative for values beyond 1."""
    asked, right = question

    def moved(value: object) -> object:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        return value + difference * max(1.0, value) if isinstance(value, float) else value

    evidence = verify(service([moved(prediction) for prediction in right]), asked, NOW)
    assert _verdicts(evidence)["golden"] is verdict


def test_a_service_that_does_not_answer_proves_nothing(question: Any) -> None:  # noqa: ANN401 (a fixture's pair)
    """Silence is not a verdict: it may be asked again."""

    def silent(path: str, _: bytes | None) -> Answer:
        raise UnavailableError(path)

    with pytest.raises(UnavailableError):
        verify(silent, question[0], NOW)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_the_serving_digest_is_a_function_of_the_code(code: str) -> None:
    """Equal code, equal digest."""
    assert serving_digest(code) == serving_digest(code)
    assert serving_digest(code) != serving_digest(code + "x")


def test_another_program_that_answers_with_a_page_of_its_own_fails(question: tuple[Question, object]) -> None:
    """What is not even JSON is not the release; it is no broken file of the owner's."""
    evidence = verify(lambda _path, _body: Answer(200, b"<html>Welcome</html>", {}), question[0], NOW)
    assert [finding.verdict for finding in evidence.findings] == [Verdict.FAIL, Verdict.FAIL]
    assert "the service says nothing (status 200)" in evidence.findings[0].message
