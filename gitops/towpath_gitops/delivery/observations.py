"""Looks at a live service: how one is taken, and how the last ones are kept in this clone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from towpath_gitops import layout
from towpath_gitops.delivery.targets.base import Observed, Target
from towpath_gitops.delivery.traffic import Lane, Traffic, parse_traffic
from towpath_gitops.delivery.verification import Question, verify
from towpath_gitops.delivery.windows import Observation, Watched, current
from towpath_gitops.errors import InvalidFileError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.evidence import Evidence, Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LaneName

_FEWEST_KEPT: Final = 64
_OK: Final = 200


@dataclass(frozen=True)
class Observations:
    """`.towpath/guard/<environment>/<model>.jsonl`: the last looks at one service, oldest first."""

    path: Path

    @classmethod
    def of(cls, root: Path, environment: str, model: str) -> "Observations":
        """Return those of one model in one environment of the clone at `root`."""
        return cls(layout.state(root, "guard", environment, f"{model}.jsonl"))

    def read(self) -> list[Observation]:
        """Return what is kept. A line that is none is passed over: the guard then knows less, and says so."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = (self._parsed(line) for line in lines)
        return [observation for observation in found if observation]

    def add(self, observation: Observation, *, windows: int) -> list[Observation]:
        """Keep one more, so many that `windows` of them can be judged, and return them all."""
        kept = [*current(self.read(), observation.at), observation][-max(_FEWEST_KEPT, windows + 1) :]
        write_atomically(self.path, "".join(each.model_dump_json() + "\n" for each in kept))
        return kept

    def _parsed(self, line: bytes) -> Observation | None:
        try:
            return parse_json(line, Observation, source=str(self.path))
        except InvalidFileError:
            return None


def elsewhere(observed: Observed, questions: Sequence[Question]) -> str:
    """Return in words why a service cannot be judged by these questions now; empty when it can."""
    if observed.version is None:
        return "the service does not answer"
    if not observed.version.converged:
        return "its workers do not agree yet"
    lanes = observed.version.lanes
    wrong = [question for question in questions if lanes.get(question.lane) != question.release.id]
    return "; ".join(f"its {question.lane} is not {question.release}" for question in wrong)


def observe(target: Target, questions: Sequence[Question], commit: str, now: datetime) -> Observation:
    """Look at a service: what it has counted, and whether each release that it should serve answers as it should.

    The counts are taken before and after the questions, so that these are nobody's traffic even where a service of an
    older version counts them.

    Raises:
        UnavailableError: the service does not answer.
        InvalidFileError: it counts in a form that cannot be read.
    """
    service = str(target.observe().details.get("started"))
    before = _counted(target)
    evidence = {question.lane: verify(partial(target.ask, lane=question.lane), question, now) for question in questions}
    after = _counted(target)
    lanes: dict[LaneName, Watched] = {}
    for question in questions:
        lane: Lane = (question.lane, question.release.id)
        found = evidence[question.lane]
        lanes[question.lane] = Watched(
            release=question.release.id,
            before=before.get(lane, Traffic()),
            after=after.get(lane, Traffic()),
            verdict=found.verdict,
            said=_complaint(found),
        )
    return Observation(at=now, commit=commit, service=service, lanes=lanes)


def _counted(target: Target) -> Mapping[Lane, Traffic]:
    answer = target.ask("/metrics")
    if answer.status != _OK:
        raise UnavailableError(f"The service answers /metrics with status {answer.status}")
    return parse_traffic(answer.body.decode(errors="replace"))


def _complaint(evidence: Evidence) -> str | None:
    red = [finding.message for finding in evidence.findings if finding.verdict is not Verdict.PASS]
    return "; ".join(red)[:500] or None
