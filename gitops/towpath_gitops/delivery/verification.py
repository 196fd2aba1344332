"""Verification: the running service is asked who it is, and its golden requests, whose answers are known.

Values must lie within `TOLERANCE` of those recorded in training (relative where they exceed 1). Where the same release
was answered by the same code in this environment before, the very bytes must be the same: that is what makes a rollback
a return.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from towpath_gitops.delivery.loopback import Answer
from towpath_gitops.delivery.targets.base import Version
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.artifact import GOLDEN, SIGNATURE
from towpath_gitops.records.base import canonical_json, digest_bytes, digest_of
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.golden import TOLERANCE, Case, Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LaneName
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

Ask = Callable[[str, bytes | None], Answer]
_OK = 200
# What turns a request into bytes. Other versions of these may write the same number with other digits.
_SERVING: Final = ("towpath", "bentoml", "msgspec", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Question:
    """What is verified: a release in an environment, by the gates of main, against what it answered before."""

    release: Release
    environment: str
    artifact: Path  # folder whose digest was checked
    gates: str  # digest of the gate configuration
    before: str | None  # digest of its answers by the same serving code, when it was verified here before
    lane: LaneName = "champion"  # that should answer with it


def serving_digest(code: str) -> str:
    """Return the digest of what turns requests into answers: the service's code and the libraries under it."""
    return digest_of({"code": code, "packages": {name: _installed(name) for name in _SERVING}})


def verify(ask: Ask, question: Question, now: datetime) -> Evidence:
    """Ask a running service for proof that it is the release, and return what was found.

    `details` holds `answers`, the digest of the answers' bytes, and `requests`, their number.

    Raises:
        UnavailableError: the service does not answer at all; nothing was found out.
        InvalidFileError: the artifact's golden requests or signature cannot be read.
    """
    golden = parse_json((question.artifact / GOLDEN).read_bytes(), Golden, source=GOLDEN)
    signature = parse_json((question.artifact / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
    identity = _identity(ask("/version", None), question.release, question.lane)
    answers = [ask("/v1/predict", _request(case)) for case in golden.cases]
    digest = digest_bytes(b"\n".join(answer.body for answer in answers))
    findings = [identity, _values(golden.cases, answers, signature, question.release), *_same(digest, question.before)]
    return Evidence(
        kind=Kind.VERIFICATION,
        model=question.release.model,
        release=question.release.id,
        environment=question.environment,
        gates=question.gates,
        created=now,
        findings=tuple(findings),
        details={"answers": digest, "requests": len(answers)},
    )


def _request(case: Case) -> bytes:
    return canonical_json({"rows": list(case.rows)})


def _identity(answer: Answer, release: Release, lane: LaneName) -> Finding:
    found = None
    with suppress(InvalidFileError):  # another program may answer, with a page of its own
        found = parse_json(answer.body, Version, source="/version") if answer.status == _OK else None
    served = found.lanes.get(lane) if found else None
    if found and served == release.id and found.release == found.lanes.get("champion"):
        return Finding(gate="identity", verdict=Verdict.PASS, message=f"the service says that it is {release}")
    says = f"it is {_line(served)}" if served else f"nothing (status {answer.status})"
    return Finding(gate="identity", verdict=Verdict.FAIL, message=f"the service says {says}, not {release.id}")


def _values(cases: Sequence[Case], answers: Sequence[Answer], signature: Signature, release: Release) -> Finding:
    gate = f"golden requests ± {TOLERANCE:g}"
    worst = 0.0
    for number, (case, answer) in enumerate(zip(cases, answers, strict=True), start=1):
        try:
            found = _numbers(answer, signature, release)
        except (InvalidFileError, LookupError, TypeError, ValueError) as error:
            words = _line(str(error)) or type(error).__name__
            return Finding(gate=gate, verdict=Verdict.FAIL, message=f"request {number} is not answered: {words}")
        if [len(row) for row in found] != [len(row) for row in case.expected]:
            return Finding(gate=gate, verdict=Verdict.FAIL, message=f"request {number}: another number of answers")
        worst = max(worst, _distance(found, case.expected))
    verdict = Verdict.PASS if worst <= TOLERANCE else Verdict.FAIL
    message = f"{len(cases)} requests differ from training by at most {worst:.3g}"
    measured = worst if math.isfinite(worst) else None
    return Finding(gate=gate, verdict=verdict, message=message, measured=measured, limit=TOLERANCE)


def _distance(found: Sequence[Sequence[float]], expected: Iterable[Sequence[float]]) -> float:
    pairs = (pair for rows in zip(found, expected, strict=True) for pair in zip(*rows, strict=True))
    # Relative for values beyond 1: float32 has seven digits, wherever the point stands.
    distances = [abs(one - other) / max(1.0, abs(other)) for one, other in pairs]
    return math.inf if any(map(math.isnan, distances)) else max(distances, default=0.0)


def _numbers(answer: Answer, signature: Signature, release: Release) -> list[list[float]]:
    """Return an answer's numbers in the form of `Case.expected`.

    Raises:
        ValueError: the service refused, or another release answered.
        LookupError, TypeError: the answer has another form.
    """
    if answer.status != _OK:
        raise ValueError(f"status {answer.status}: {answer.body[:200].decode(errors='replace')}")
    document = json.loads(answer.body)
    if document["release"] != release.id:
        raise ValueError(f"{document['release']} answers")
    return [list(_row(prediction, signature)) for prediction in document["predictions"]]


def _row(prediction: dict[str, Any], signature: Signature) -> Iterator[float]:
    if signature.task == "binary":
        yield float(prediction["probability"])
    elif signature.task == "multiclass":
        yield from (float(prediction["probabilities"][label]) for label in signature.classes or ())
    else:
        yield float(prediction["value"])


def _same(digest: str, before: str | None) -> Iterator[Finding]:
    """Compare with what the same code answered for this release before; nothing is found where it never did."""
    if before == digest:
        yield Finding(gate="same answers", verdict=Verdict.PASS, message="byte for byte what it answered here before")
    elif before:
        message = "it answered its golden requests with other bytes before, served by the same code"
        yield Finding(gate="same answers", verdict=Verdict.FAIL, message=message)


def _line(text: str) -> str:
    """Return the words of a service as a finding takes them, whatever they are."""
    return "".join(character for character in text if character.isprintable())[:300]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
