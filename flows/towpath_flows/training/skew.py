"""Training and serving read the same rows alike: what callers send as JSON is what the model was asked in training."""

import json
from typing import Any, Final

import numpy as np
import pandas as pd

from towpath_bento.engines import Engine
from towpath_bento.limits import MAX_ROWS
from towpath_bento.problems import faults
from towpath_bento.wire import Codec
from towpath_flows.training.features import Features, engine_columns
from towpath_flows.training.golden import row_of
from towpath_flows.training.model import Model
from towpath_flows.training.parity import TOLERANCE
from towpath_gitops.records.evidence import Finding, Verdict

GATE: Final = "training-serving skew"
_ROWS: Final = min(300, MAX_ROWS)


def compare_paths(engine: Engine, model: Model, frame: pd.DataFrame) -> Finding:
    """Send rows of a validated `frame` down both paths and compare the columns and the answers.

    One path is training's: the frame's own types, the fitted transformer, the trees. The other is the service's: JSON
    text, the decoder that the service uses, the engine that serves. Rows that the service refuses are left out.
    """
    features = Features(model.signature)
    sample = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(_ROWS, len(frame))).astype(int))]
    x = features.x(sample)
    rows = [row_of(model.signature, x, place) for place in range(len(x))]
    taken = [place for place, row in enumerate(rows) if next(faults({"rows": [row]}, model.signature), None) is None]
    x = x.iloc[taken].reset_index(drop=True)
    body = json.dumps({"rows": [rows[place] for place in taken]}, ensure_ascii=False).encode()
    served = Codec(model.signature).decode(body).columns
    trained = engine_columns(x)
    odd = [name for name, values in trained.items() if not _same(values, served[name])]
    if odd:
        return _failed(f"{', '.join(odd)[:300]} arrives otherwise than training reads it", len(odd))
    ours, theirs = model.predict(x), np.asarray(engine.predict(served), dtype=np.float64).reshape(len(x), -1)
    scale = 1.0 if model.signature.classes else max(1.0, float(np.abs(ours).max()))
    difference = np.abs(ours - theirs).max(axis=1) / scale
    wrong = int(np.sum(~(difference <= TOLERANCE)))
    if wrong:
        return _failed(f"{wrong:,} of {len(x):,} rows are answered otherwise than in training", wrong)
    words = f"{len(x):,} rows, sent as JSON, give the same columns and answers"
    return Finding(gate=GATE, verdict=Verdict.PASS, message=words, measured=0, limit=0)


def _same(trained: Any, served: Any) -> bool:  # noqa: ANN401 (arrays of float32 or of str)
    return bool(np.array_equal(trained, served, equal_nan=trained.dtype != object))


def _failed(message: str, measured: int) -> Finding:
    return Finding(gate=GATE, verdict=Verdict.FAIL, message=message, measured=measured, limit=0)
