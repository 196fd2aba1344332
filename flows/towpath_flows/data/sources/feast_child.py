"""Asks a Feast repository, in an environment that has Feast: `python feast_child.py REQUEST`, a JSON file.

Feast's dependencies and Towpath's do not fit into one environment, so this file imports nothing of Towpath. It reads
and writes Parquet; its exit code says what went wrong: 3 Feast is missing, 4 the repository refuses.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(request: str) -> int:
    """Add the features to the rows of the request, each as it was known at the row's time."""
    try:
        import feast  # noqa: PLC0415 (told apart from what fails later)
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    try:
        _answer(feast.FeatureStore(repo_path=asked["repository"]), asked)
    except Exception as error:  # noqa: BLE001 (Feast and its stores fail without a common base)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 4
    return 0


def _answer(store: Any, asked: dict[str, Any]) -> None:  # noqa: ANN401 (Feast is not installed where this is checked)
    import pandas as pd  # noqa: PLC0415 (of the other environment)

    rows = pd.read_parquet(asked["rows"])
    wanted = store.get_feature_service(asked["service"]) if asked["service"] else asked["features"]
    found = store.get_historical_features(entity_df=rows, features=wanted).to_df()
    added = [name for name in found.columns if name not in rows.columns]
    # Feast (0.67) leaves rows out of which it knew nothing at their time: they are kept, without a value.
    whole = rows.merge(found[[asked["order"], *added]], on=asked["order"], how="left", validate="one_to_one")
    whole.drop(columns=asked["order"]).to_parquet(asked["into"], index=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
