"""What the model keeps: nobody's row, its own files, and its callers' time."""

import json
from collections.abc import Iterator
from time import perf_counter
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.problems import faults
from towpath_bento.sent import as_sent
from towpath_bento.wire import Codec
from towpath_flows.evaluation.bootstrap import estimates, rows_to_settle
from towpath_flows.evaluation.checks.base import Answer, Columns, Labelled, Measured, Subject
from towpath_flows.evaluation.metrics import METRICS, TINY
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.golden import TOLERANCE
from towpath_gitops.records.signature import Signature

_FEWEST: Final = 50  # rows of each side from which memory can be judged
_ROUNDS, _CALLS = 3, 50
_WARMING: Final = 5


class Memory:
    """Answers do not give away which rows the model was fitted on."""

    name: ClassVar[str] = "memory"

    def check(self, subject: Subject) -> Answer:
        """Rows are known by heart, and whoever asks can tell whose they were: use fewer rounds or shallower trees."""
        if subject.truth is None or subject.learned is None:
            return None
        learned = _losses(subject, subject.learned)
        others = _losses(subject, Labelled(subject.columns, subject.truth))
        if min(len(learned), len(others)) < _FEWEST:
            return None
        y = np.concatenate([np.ones(len(learned)), np.zeros(len(others))])
        prepared = METRICS["roc_auc"].prepare("binary", y, -np.concatenate([learned, others])[:, None])
        found = estimates({"": prepared}, len(y), roughly=True)[""]
        limit = subject.expected.memory
        told = (
            f"A smaller error tells a learned row from another with an ROC AUC of {found.value:.3f} "
            f"(95% interval {found.low:.3f} to {found.high:.3f}; 0.5 is chance), {limit:g} allowed"
        )
        verdict = Verdict.INCONCLUSIVE
        if found.high <= limit or found.low > limit:
            verdict = Verdict.PASS if found.high <= limit else Verdict.FAIL
        needed = rows_to_settle(found, limit, len(y)) if verdict is Verdict.INCONCLUSIVE else None
        told += f"; about {needed // 2:,} of each would settle it (behaviour.rows)" if needed else ""
        return Measured(verdict, told, found.value, limit, found.interval, needed)


class RoundTrip:
    """Signature, files and requests survive being written and read: the same rows get the same answers."""

    name: ClassVar[str] = "round-trip"
    ROWS: ClassVar[int] = 50

    def check(self, subject: Subject) -> Answer:
        """What was written is not what is read: callers would get other answers than training measured."""
        signature = Signature.model_validate_json(subject.signature.model_dump_json(by_alias=True))
        if signature != subject.signature or signature.digest != subject.signature.digest:
            return "The signature changes when it is written and read"
        answers = subject.predict(subject.columns)
        if subject.reopen is not None:
            kept, predict = subject.reopen()
            if kept != subject.signature:
                return "The signature in the artifact is another"
            if not np.array_equal(predict(subject.columns), answers, equal_nan=True):
                return "The artifact, opened anew, answers otherwise"
        return _through_json(subject, answers, self.ROWS)


class Latency:
    """One row is answered within behaviour.latency, or else serve.p99."""

    name: ClassVar[str] = "latency"

    def check(self, subject: Subject) -> Answer:
        """The engine alone needs more time for one row than a whole request may take: use fewer or shallower trees."""
        limit_s = (subject.expected.latency or subject.latency).total_seconds()
        best_s = min(_tail_s(subject, limit_s) for _ in range(_ROUNDS))
        told = f"98 of 100 single rows take at most {best_s * 1000:.2f} ms in the engine, {limit_s * 1000:g} ms allowed"
        return Measured(Verdict.PASS if best_s <= limit_s else Verdict.FAIL, told, best_s * 1000, limit_s * 1000)


def _losses(subject: Subject, rows: Labelled) -> NDArray[np.float64]:
    """Return the loss of each row (n,): what a membership attack by threshold looks at (Yeom et al. 2018)."""
    answers = np.asarray(subject.predict(rows.columns), dtype=np.float64)
    truth = rows.truth.astype(np.float64)
    if subject.signature.task == "regression":
        return np.asarray(np.abs(answers[:, 0] - truth))
    if subject.signature.task == "binary":
        chance = np.where(truth == 1, answers[:, 0], 1 - answers[:, 0])
    else:
        chance = answers[np.arange(len(answers)), truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(chance, TINY, 1)))


def _through_json(subject: Subject, answers: NDArray[Any], most: int) -> Answer:
    """Return whether rows that are sent as JSON and read by the service get the answers that they get as columns."""
    codec = Codec(subject.signature)
    sent = list(_sent(subject, most))
    if not sent:
        return "The service refuses every row of the sample"
    request = codec.decode(json.dumps({"rows": [row for _, row in sent]}).encode())
    expected = answers[[index for index, _ in sent]]
    if np.allclose(subject.predict(request.columns), expected, rtol=1e-6, atol=TOLERANCE, equal_nan=True):
        return True
    return "Rows that are sent as JSON get other answers"


def _sent(subject: Subject, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the index and the JSON form of rows that the service takes."""
    for index in np.unique(np.linspace(0, subject.rows - 1, most).astype(int)):
        row = {c.name: as_sent(c, subject.columns[c.name][index, 0]) for c in subject.signature.inputs}
        if next(faults({"rows": [row]}, subject.signature), None) is None:
            yield int(index), row


def _tail_s(subject: Subject, limit_s: float) -> float:
    """Return the seconds within which all but one in fifty single rows are answered; two that are late tell enough."""
    rows: list[Columns] = [subject.take(np.array([index % subject.rows])) for index in range(_CALLS)]
    for row in rows[:_WARMING]:
        subject.predict(row)
    taken = []
    for row in rows:
        start = perf_counter()
        subject.predict(row)
        taken.append(perf_counter() - start)
        if sum(each > limit_s for each in taken) > 1:
            break
    return sorted(taken)[-2]
