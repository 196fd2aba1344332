"""The child of a reproduction: fits and exports once more, in a checkout of the release's commit, and compares.

It is a process of its own because the owner's code of that commit may not meet the owner's code of today, and because
another Python may be asked to do it: `python -m towpath_flows.rebuilding REQUEST OUTCOME`.
"""

import sys
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from towpath_bento.wire import decisions
from towpath_flows.data import Splits, load, split, validate
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.recipe import Recipe
from towpath_flows.recomparison import without_window
from towpath_flows.training import TuneResult, export, fit
from towpath_flows.training.parity import TOLERANCE
from towpath_gitops.errors import DataContractError, TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN, manifest
from towpath_gitops.records.base import Record, short
from towpath_gitops.records.importance import FILE as IMPORTANCE
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.signature import Signature


class Request(Record):
    """What is rebuilt: paths of the checkout, of the registered artifact and of where to build; rows; the recipe."""

    checkout: Path
    artifact: Path
    into: Path
    since: datetime | None
    until: datetime | None
    data: str
    recipe: Recipe


class Outcome(Record):
    """What came of it. `difference` and `flips` are None where every byte is the same.

    `difference` is the largest between the answers to the test rows (of the largest answer, for a regression); `flips`
    counts decisions that differ.
    """

    same: tuple[str, ...]
    changed: tuple[str, ...]
    rows: int
    environment: tuple[str, ...]
    difference: float | None = None
    flips: int | None = None

    @property
    def identical(self) -> bool:
        """Whether every byte of the model is the same."""
        return not self.changed

    @property
    def agrees(self) -> bool:
        """Whether it answers as the registered one does, as near as the served graph does to its model."""
        return self.identical or (self.flips == 0 and self.difference is not None and self.difference <= TOLERANCE)


def rebuild(request: Request) -> Outcome:
    """Make the artifact again, all but its card, and compare it with the registered one.

    Raises:
        DataContractError: the rows are others than then.
        TrainingError, InvalidFileError, NotFoundError: as the stages of a training.
    """
    project, recipe = Project.open(request.checkout), request.recipe
    table = load(without_window(project), since=request.since, until=request.until)
    if table.digest != request.data:
        raise DataContractError(
            "The rows of then cannot be read again",
            why=f"{table.source} now gives rows with the digest {short(table.digest)}, then {short(request.data)}.",
            hint="Put the data of then back in its place.",
        )
    parts = split(project, validate(project, table).frame)
    tuned = TuneResult(recipe.framework, recipe.params, None, (), recipe.rounds)
    model = fit(project, parts, tuned, recipe.threads)
    export(model, parts, request.into, project.root / "src")
    return _compared(request, parts, len(table.frame), tuple(recipe.differences(model.workers)))


def _compared(request: Request, parts: Splits, rows: int, environment: tuple[str, ...]) -> Outcome:
    then, now = manifest(request.artifact), manifest(request.into)
    files = sorted((set(then) | set(now)) - {CARD_HTML, CARD_MARKDOWN, IMPORTANCE})
    same = tuple(name for name in files if then.get(name) == now.get(name))
    changed = tuple(name for name in files if name not in same)
    if not changed:
        return Outcome(same=same, changed=changed, rows=rows, environment=environment)
    one, other = Scorer.open(request.artifact), Scorer.open(request.into)
    before, after = one.answers(parts.test), other.answers(parts.test)
    return Outcome(
        same=same,
        changed=changed,
        rows=rows,
        environment=environment,
        difference=float(np.abs(before - after).max()) / _scale(before, one.signature),
        flips=int(np.sum(decisions(one.signature, before) != decisions(other.signature, after))),
    )


def _scale(answers: NDArray[np.float64], signature: Signature) -> float:
    """Return what differences are measured in: probabilities as they are, values by the largest."""
    return 1.0 if signature.classes else max(1.0, float(np.abs(answers).max()))


def main(request: str, outcome: str) -> int:
    """Rebuild what the file `request` asks for and write `outcome`; an error is told on standard error."""
    try:
        found = rebuild(parse_json(Path(request).read_bytes(), Request, source=request))
    except TowpathError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_atomically(Path(outcome), found.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
