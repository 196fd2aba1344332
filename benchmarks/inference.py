"""From the bytes of a request to probabilities: the exported graph, beside the same model in scikit-learn and pandas.

Ours reads and checks the request as the service does and asks `towpath_bento.engines`; the peer only reads it. Both
use one thread, as a service does that has many requests at once.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rounds import Contestant, compare, computed, head

from towpath_bento.engines import open_engine
from towpath_bento.wire import Codec
from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import DATA, FIXTURE
from towpath_flows.data import load, split, validate
from towpath_flows.project import Project
from towpath_flows.training import Exported, Model, export, fit, tune

ROUNDS = 15


def train(folder: Path) -> tuple[Model, Exported, pd.DataFrame]:
    """Train and export the drills' model; return it, its artifact, and rows that it has not seen."""
    root = folder / "canal"
    shutil.copytree(FIXTURE, root)
    (root / DATA).parent.mkdir()
    barges().to_parquet(root / DATA)
    project = Project.open(root)
    parts = split(project, validate(project, load(project)).frame)
    model = fit(project, parts, tune(project, parts))
    model.estimator.set_params(n_jobs=1)
    return model, export(model, parts, folder / "artifact"), parts.test


def request(model: Model, frame: pd.DataFrame, rows: int) -> bytes:
    """Return the body of a request of `rows` rows, a missing number as null."""
    names = [column.name for column in model.signature.inputs]
    text: str = frame[names].head(rows).to_json(orient="records")
    return f'{{"rows":{text}}}'.encode()


def many(answer: Callable[[bytes], object], body: bytes, calls: int) -> None:
    """Answer the same request `calls` times: one alone is too quick to be measured."""
    for _ in range(calls):
        answer(body)


def main() -> None:
    """Compare the two for one row and for a hundred."""
    head()
    with TemporaryDirectory() as folder:
        model, exported, frame = train(Path(folder))
        engine, codec = open_engine(exported.folder, exported.signature), Codec(exported.signature)

        def ours(body: bytes) -> NDArray[np.floating[Any]]:
            return engine.predict(codec.decode(body).columns)

        def peer(body: bytes) -> NDArray[np.floating[Any]]:
            return model.predict(pd.DataFrame(json.loads(body)["rows"]))

        for rows, calls in ((1, 50), (100, 25)):
            body = request(model, frame, rows)
            np.testing.assert_allclose(ours(body), peer(body), atol=1e-5)
            compare(
                Contestant(f"scikit-learn and pandas, rows: {rows}", computed(partial(many, peer, body, calls), calls)),
                Contestant("exported graph", computed(partial(many, ours, body, calls), calls)),
                ROUNDS,
            )


if __name__ == "__main__":
    main()
