"""Asks a Feast repository, in an environment that has Feast: `python feast_child.py REQUEST`, a JSON file.

With `rows` in the request the features are added to them; without, it is told how they can be looked up online.

Feast's dependencies and Towpath's do not fit into one environment, so this file imports nothing of Towpath. It reads
and writes Parquet, or JSON; its exit code says what went wrong: 3 Feast is missing, 4 the repository refuses.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(request: str) -> int:
    """Answer the request; see the module."""
    try:
        import feast  # noqa: PLC0415 (told apart from what fails later)
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    try:
        answer = _add if "rows" in asked else _describe
        answer(feast.FeatureStore(repo_path=asked["repository"]), asked)
    except Exception as error:  # noqa: BLE001 (Feast and its stores fail without a common base)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 4
    return 0


def _add(store: Any, asked: dict[str, Any]) -> None:  # noqa: ANN401 (Feast is not installed where this is checked)
    """Add the features to the rows, each as it was known at the row's time."""
    import pandas as pd  # noqa: PLC0415 (of the other environment)

    rows = pd.read_parquet(asked["rows"])
    wanted = store.get_feature_service(asked["service"]) if asked["service"] else asked["features"]
    found = store.get_historical_features(entity_df=rows, features=wanted).to_df()
    added = [name for name in found.columns if name not in rows.columns]
    # Feast (0.67) leaves rows out of which it knew nothing at their time: they are kept, without a value.
    whole = rows.merge(found[[asked["order"], *added]], on=asked["order"], how="left", validate="one_to_one")
    whole.drop(columns=asked["order"]).to_parquet(asked["into"], index=False)


def _describe(store: Any, asked: dict[str, Any]) -> None:  # noqa: ANN401 (as above)
    """Write down of which views the features are, with their types, the views' keys and how old values may be."""
    views = []
    for name, features in _asked_for(store, asked).items():
        view = store.get_feature_view(name)  # raises for one that is computed on demand
        fields = {field.name: str(field.dtype) for field in view.features}
        if unknown := [feature for feature in features if feature not in fields]:
            raise ValueError(f"{name} has no feature {', '.join(unknown)}")
        views.append(
            {
                "view": name,
                "features": {feature: fields[feature] for feature in features},
                "keys": {column.name: str(column.dtype) for column in view.entity_columns},
                "ttl_s": view.ttl.total_seconds() if view.ttl else None,
            }
        )
    Path(asked["into"]).write_text(json.dumps(views), encoding="utf-8")


def _asked_for(store: Any, asked: dict[str, Any]) -> dict[str, list[str]]:  # noqa: ANN401 (as above)
    found: dict[str, list[str]] = {}
    if asked["service"]:
        for view in store.get_feature_service(asked["service"]).feature_view_projections:
            if view.name_alias or view.join_key_map:
                raise ValueError(f"{view.name} has another name, or other keys, in the service {asked['service']}")
            found[view.name] = [feature.name for feature in view.features]
    for reference in asked["features"]:
        view, feature = reference.split(":")
        found.setdefault(view, []).append(feature)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
