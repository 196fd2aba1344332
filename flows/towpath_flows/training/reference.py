"""A sample of the rows behind a model, kept with it: what live data is compared with."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from towpath_bento.wire import decisions
from towpath_flows.data.splits import Splits, parts
from towpath_flows.training.features import Features
from towpath_flows.training.model import Model

ROWS: Final = 5_000
# Beside the inputs (float32 with NaN, or str with ""): names that no column of an owner's table has.
PREDICTION: Final = "towpath:prediction"  # binary: probability of the second class; regression: value; else the label
TARGET: Final = "towpath:target"  # class label, or value
PART: Final = "towpath:part"  # train, validation or test: only the last was never learned from


def write_reference(model: Model, splits: Splits, path: Path) -> None:
    """Write at most 5,000 rows, drawn evenly from all parts with the seed 0, in their order, as Parquet."""
    whole = pd.concat([frame.assign(**{PART: name}) for name, frame in parts(splits)], ignore_index=True)
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.permutation(len(whole))[:ROWS])
    sample = whole.iloc[chosen].reset_index(drop=True)
    features = Features(model.signature)
    x, y = features.prepare(sample)
    answers, classes = model.predict(x), model.signature.classes
    decided = decisions(model.signature, answers)
    x[PREDICTION] = np.array(classes, dtype=object)[decided] if answers.shape[1] > 1 else answers[:, 0]
    x[TARGET] = y if classes is None else np.array(classes, dtype=object)[y]
    x[PART] = sample[PART].astype(object)
    x.to_parquet(path, index=False)
