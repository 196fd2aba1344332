"""What the service remembered of its requests against a release's reference sample: drift of the traffic itself.

It needs no label and no table of rows: what callers sent and what they were told is in the service's journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.journal import names
from towpath_bento.journal.reading import read_journal
from towpath_bento.metrics import SHADOW
from towpath_bento.wire import decisions
from towpath_flows.data.drift import ColumnDrift, compare, stability
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.training.features import Features
from towpath_flows.training.reference import PART
from towpath_gitops import layout
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release

ANSWER: Final = "(the model's answer)"  # the row of a drift table for what the model says
FEWEST_ROWS: Final = 100  # below which traffic is counted and not judged
MOST_SEEN: Final = 50_000  # rows that drift is computed on; evenly taken

Samples = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]  # column → reference (n,) and window (m,)


@dataclass(frozen=True)
class Traffic:
    """The requests of a window that the journal in `source` remembers; `columns` is empty where they are too few.

    `tenths` are the shares of answers that lie in each tenth of training's; None where the release knows no tenths.
    """

    source: str
    rows: int
    requests: int
    columns: tuple[ColumnDrift, ...] = ()
    tenths: tuple[float, ...] | None = None
    samples: Samples = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, frame: pd.DataFrame, scorer: Scorer) -> Self:
        """Count the rows of a journal; `judged` compares them."""
        samples = _samples(scorer, frame) if len(frame) >= FEWEST_ROWS else {}
        deciles = scorer.signature.deciles
        tenths = _tenths(deciles, frame[names.PREDICTION].to_numpy()) if deciles and samples else None
        requests = frame[names.REQUEST].nunique() if len(frame) else 0
        return cls(source, len(frame), requests, (), tenths, samples)

    def judged(self, alpha: float) -> "Traffic":
        """Compare each column; `alpha` is the chance of any false alarm at all."""
        sides = [{name: pair[side] for name, pair in self.samples.items()} for side in (0, 1)]
        columns = tuple(compare(sides[0], sides[1], alpha=alpha)) if self.samples else ()
        return Traffic(self.source, self.rows, self.requests, columns, self.tenths, self.samples)

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved, farthest first."""
        return tuple(column for column in self.columns if column.drifted)

    @property
    def stability_index(self) -> float | None:
        """How far the answers moved from the tenths of training: the population stability index."""
        if self.tenths is None:
            return None
        return stability(np.full(len(self.tenths), self.rows / len(self.tenths)), np.array(self.tenths) * self.rows)

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        if not self.rows:
            return "The service remembers no request of that time"
        remembered = (
            f"The service remembers {self.rows:,} rows of {self.requests:,} request{'' if self.requests == 1 else 's'}"
        )
        if not self.columns:
            return f"{remembered}: too few to tell whether its traffic has drifted"
        names = ", ".join(column.column for column in self.drifted[:5])
        moved = (
            f"{len(self.drifted)} of {len(self.columns)} columns have drifted: {names}" if names else "none has drifted"
        )
        return f"{remembered}, {'of which' if names else 'of whose columns'} {moved}"

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "source": self.source,
            "rows": self.rows,
            "requests": self.requests,
            "columns": [column.plain() for column in self.columns],
            "tenths": None if self.tenths is None else list(self.tenths),
            "stability_index": self.stability_index,
        }


def remembered(
    project: Project,
    release: Release,
    scorer: Scorer,
    window: tuple[datetime, datetime | None],
    journal: str | Path | None = None,
) -> Traffic | None:
    """Return what the journal holds of a release's answers to callers; None where there is no journal.

    Args:
        project: whose last environment's local service is asked where `journal` is not given.
        release: whose answers count; those of its time as a shadow do not, nobody was told them.
        scorer: the release, opened.
        window: the first moment, and the first that does not count.
        journal: a folder, or s3://bucket/prefix.

    Raises:
        InvalidFileError, UnavailableError: as `read_journal`.
    """
    source = journal or _own_journal(project)
    if source is None:
        return None
    table = read_journal(source, *window, release=release.id)
    frame = table.to_pandas() if len(table) else pd.DataFrame({names.LANE: []})
    return Traffic.of(str(source), frame[frame[names.LANE] != SHADOW].reset_index(drop=True), scorer)


def answers_of(scorer: Scorer, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return what the model says to columns of shape (n, 1), as drift compares it: (n,) numbers, or labels."""
    values = np.asarray(scorer.engine.predict(columns), dtype=np.float64)
    if scorer.signature.task != "multiclass":
        return values[:, 0]
    return np.asarray(np.array(scorer.signature.classes, dtype=object)[decisions(scorer.signature, values)])


def unlearned_answers(scorer: Scorer, reference: pd.DataFrame) -> NDArray[Any]:
    """Return what the model says to the reference's test rows, which it had never seen either."""
    return answers_of(scorer, scorer.columns(reference[reference[PART] == "test"]))


def _samples(scorer: Scorer, frame: pd.DataFrame) -> Samples:
    """Return the remembered inputs and answers beside those of the reference; sensitive columns are in no journal."""
    reference = scorer.reference()
    chosen = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(len(frame), MOST_SEEN)).astype(int))]
    known = tuple(column for column in scorer.signature.inputs if column.name in chosen)
    told = names.LABEL if scorer.signature.task == "multiclass" else names.PREDICTION
    said = chosen[told].to_numpy(object if told == names.LABEL else float)
    found = {ANSWER: (unlearned_answers(scorer, reference), said)}
    if known:
        features = Features(scorer.signature.model_copy(update={"inputs": known}))
        sides = [features.x(side) for side in (reference, chosen)]
        found |= {name: (sides[0][name].to_numpy(), sides[1][name].to_numpy()) for name in features.names}
    return found


def _tenths(deciles: tuple[float, ...], answers: NDArray[Any]) -> tuple[float, ...]:
    counts = np.bincount(np.searchsorted(deciles, answers), minlength=len(deciles) + 1)
    return tuple(float(share) for share in counts / max(counts.sum(), 1))


def _own_journal(project: Project) -> Path | None:
    path = project.root / layout.POLICY
    if not path.is_file():
        return None
    policy = parse_yaml(path.read_text(encoding="utf-8"), Policy, source=layout.POLICY)
    folder = layout.journal(project.root, policy.last.name, project.spec.name)
    return folder if folder.is_dir() else None
