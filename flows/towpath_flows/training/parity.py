"""Does the engine that serves answer what the model answers? Asked on every test row, and on rows that are rare."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_bento.engines import Engine
from towpath_bento.wire import decisions
from towpath_flows.data.coercion import replaced
from towpath_flows.training.features import engine_columns
from towpath_flows.training.model import Model
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.signature import Signature

TOLERANCE: Final = 1e-5  # of a probability; regression: of the largest answer
UNSEEN: Final = "never seen in training"
_EACH: Final = 5  # rows that are asked with each column missing in turn
_CELLS: Final = 4_000_000  # of all these rows together
_PROBES: Final = 200  # test rows that are repeated with values missing, and with unseen strings


@dataclass(frozen=True)
class Parity:
    """How far an engine's answers lie from the model's over `rows` rows, and how many decisions differ."""

    rows: int
    difference: float
    flips: int

    @property
    def holds(self) -> bool:
        """Whether the engine may serve for the model."""
        return self.difference <= TOLERANCE and self.flips == 0

    @property
    def findings(self) -> list[Finding]:
        """The findings of `parity` evidence."""
        near, same = self.difference <= TOLERANCE, self.flips == 0
        return [
            Finding(
                gate=f"served answers within {TOLERANCE:g} of the model's",
                verdict=Verdict.PASS if near else Verdict.FAIL,
                message=f"the largest difference over {self.rows:,} rows is {self.difference:.2g}",
                measured=min(self.difference, 1e300),
                limit=TOLERANCE,
            ),
            Finding(
                gate="no decision differs",
                verdict=Verdict.PASS if same else Verdict.FAIL,
                message=f"{self.flips} of {self.rows:,} rows are decided differently",
                measured=self.flips,
                limit=0,
            ),
        ]


def compare_answers(engine: Engine, model: Model, x: pd.DataFrame) -> Parity:
    """Ask an engine and the model for the same prepared rows; answers that are not finite differ by infinity."""
    served, trained = np.asarray(engine.predict(engine_columns(x)), dtype=np.float64), model.predict(x)
    if not np.isfinite(served).all():
        return Parity(len(x), float("inf"), int((~np.isfinite(served)).any(axis=1).sum()))
    scale = 1.0 if model.signature.classes else max(1.0, float(np.abs(trained).max()))
    difference = float(np.abs(served - trained).max()) / scale
    flips = int(np.sum(decisions(model.signature, served) != decisions(model.signature, trained)))
    return Parity(len(x), difference, flips)


def with_probes(signature: Signature, x: pd.DataFrame) -> pd.DataFrame:
    """Return prepared rows and, appended, some of them with what test rows may lack and callers will send.

    Once everything missing that may be missing, once each column alone, once with strings that training never saw.
    """
    some = x.iloc[:: max(1, len(x) // _PROBES)]
    nullable = {column.name: _missing(column.type) for column in signature.inputs if column.nullable}
    strings = [column.name for column in signature.inputs if column.type == "string" and column.categories is None]
    probes = [replaced(some, nullable), _each_missing(x, nullable), replaced(some, dict.fromkeys(strings, UNSEEN))]
    return pd.concat([x, *probes], ignore_index=True).astype(x.dtypes.to_dict())


def _each_missing(x: pd.DataFrame, gaps: dict[str, Any]) -> pd.DataFrame:
    """Return a few rows again and again, each time with another column missing; of a wide table fewer rows."""
    number = max(1, min(_EACH, _CELLS // max(1, len(gaps) * len(x.columns))))
    rows = np.tile(np.arange(min(number, len(x))), len(gaps))
    again = {str(name): x[name].to_numpy()[rows] for name in x.columns}
    for place, (name, gap) in enumerate(gaps.items()):
        again[name][place * len(rows) // len(gaps) : (place + 1) * len(rows) // len(gaps)] = gap
    return pd.DataFrame(again)


def _missing(kind: str) -> Any:  # noqa: ANN401 (a float or a str)
    return "" if kind == "string" else np.float32(np.nan)
