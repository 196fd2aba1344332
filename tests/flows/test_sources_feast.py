"""Features of a Feast repository, as they were known at each row's time; a real one, in an environment of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from towpath_flows.data import load
from towpath_flows.data.sources.feast import PYTHON_VARIABLE
from towpath_flows.data_spec import FeastSource
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, MissingDependencyError, NotFoundError

DAY = pd.Timestamp("2026-01-01", tz="UTC")

DEFINITIONS = '''\
"""A Feast repository: what is known of sellers, day by day."""

import sys
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

root = Path(sys.argv[1])
seller = Entity(name="seller", join_keys=["seller"], value_type=ValueType.STRING)
source = FileSource(path=str(root / "stats.parquet"), timestamp_field="known_at")
stats = FeatureView(
    name="stats",
    entities=[seller],
    ttl=timedelta(days=400),
    source=source,
    schema=[Field(name="rating", dtype=Float32)],
)
FeatureStore(repo_path=str(root)).apply([seller, stats, FeatureService(name="orders", features=[stats])])
'''


@pytest.fixture(scope="module")
def store(feast_repository: Callable[..., Path]) -> Path:
    """Return a Feast repository that was applied: a rating of each seller but one from day 1, another from day 30."""
    known = [
        (f"seller {number}", DAY + pd.Timedelta(days=day), day + number / 100)
        for number in range(59)
        for day in (1, 30)
    ]
    return feast_repository(DEFINITIONS, {"stats": pd.DataFrame(known, columns=["seller", "known_at", "rating"])})


@pytest.fixture
def build(
    new_project: Callable[..., Project], feast_python: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Project]:
    """Return a function that makes a shop whose rows get from the Feast repository what is asked for."""
    monkeypatch.setenv(PYTHON_VARIABLE, feast_python)

    def made(asked: str) -> Project:
        project = new_project(
            spec=("{file: data/orders.parquet}", f"{{feast: store, rows: data/orders.parquet, {asked}}}"),
            schema=("    seller: str\n", "    seller: str\n    rating: float = pa.Field(nullable=True)\n"),
        )
        shutil.copytree(store, project.root / "store")
        return project

    return made


def rating(orders: pd.DataFrame) -> "pd.Series[float]":
    """Return what was known of each order's seller when it was ordered."""
    number = orders["seller"].str.removeprefix("seller ").astype(int)
    age = orders["ordered_at"] - DAY
    latest = (1 + number / 100).where(age < pd.Timedelta(days=30), 30 + number / 100)
    return latest.where((age >= pd.Timedelta(days=1)) & (number < 59))


def test_features_are_those_that_were_known_then(build: Callable[[str], Project], orders: pd.DataFrame) -> None:
    """Nothing from after a row's time reaches it; a row of which nothing was known stays; the order is kept."""
    table = load(build("features: ['stats:rating']"))
    assert list(table.frame["order_id"]) == list(orders["order_id"])
    expected = rating(orders)
    assert 0 < expected.isna().sum() < len(orders)
    assert table.frame["rating"].isna().tolist() == expected.isna().tolist()
    assert (table.frame["rating"] - expected).abs().max() < 1e-5
    assert table.frame["returned"].tolist() == orders["returned"].tolist()
    assert table.frame["amount"].equals(orders["amount"])
    assert [given.uri for given in table.inputs] == ["data/orders.parquet", "store/feature_store.yaml"]


def test_a_service_within_a_window(build: Callable[[str], Project], orders: pd.DataFrame) -> None:
    """A feature service gives what its features give; only rows of the window are asked about."""
    since, until = DAY + pd.Timedelta(days=29), DAY + pd.Timedelta(days=31)
    table = load(build("service: orders"), since=since, until=until)
    within = orders[(orders["ordered_at"] >= since) & (orders["ordered_at"] < until)]
    assert list(table.frame["order_id"]) == list(within["order_id"])
    assert (table.frame["rating"].to_numpy() - rating(within)).abs().max() < 1e-5


def test_what_feast_refuses_is_told(build: Callable[[str], Project]) -> None:
    """A feature view that the repository has not is named in Feast's own words."""
    with pytest.raises(DataContractError, match="Feast refuses") as told:
        load(build("features: ['statistics:rating']"))
    assert "statistics" in told.value.why


def test_what_is_missing_is_told(new_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository, the library and the interpreter, each with what to do."""
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    asked = "{feast: store, rows: data/orders.parquet, features: ['stats:rating']}"
    project = new_project(spec=("{file: data/orders.parquet}", asked))
    with pytest.raises(NotFoundError, match=r"no feature_store\.yaml in store"):
        load(project)
    (project.root / "store").mkdir()
    (project.root / "store" / "feature_store.yaml").write_text("project: shop\n")
    with pytest.raises(MissingDependencyError, match="has no Feast") as told:
        load(project)
    assert PYTHON_VARIABLE in told.value.hint
    monkeypatch.setenv(PYTHON_VARIABLE, "/nowhere/python")
    with pytest.raises(NotFoundError, match="no Python at /nowhere/python"):
        load(project)


@pytest.mark.parametrize("wrong", [{}, {"features": ["stats:rating"], "service": "orders"}, {"features": ["rating"]}])
def test_a_source_says_what_is_added(wrong: dict[str, object]) -> None:
    """Features, each with its view, or a service."""
    with pytest.raises(ValueError, match=r"give either|pattern"):
        FeastSource.model_validate({"feast": "store", "rows": "a.parquet", **wrong})
