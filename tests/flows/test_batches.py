"""A training talks to MLflow in few words: figures go there in batches, however many there are."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.project import Project
from towpath_flows.registration import Training, register
from towpath_flows.training import Exported, Trial
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.repository import Repository

CALLS = ("log_metric", "log_param", "log_batch")


def _counting(counted: Counter[str], name: str, really: Callable[..., Any]) -> Callable[..., Any]:
    def told(*given: Any, **named: Any) -> Any:  # noqa: ANN401 (whatever MLflow hands over)
        counted[name] += 1
        return really(*given, **named)

    return told


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what the real store, of SQLite, is asked to keep, call by call."""
    counted: Counter[str] = Counter()
    for name in CALLS:
        monkeypatch.setattr(SqlAlchemyStore, name, _counting(counted, name, getattr(SqlAlchemyStore, name)))
    return counted


def _figures(number: int) -> Assessment:
    metrics = {f"metric_{place}": {"value": 0.5, "low": 0.4, "high": 0.6} for place in range(number)}
    passed = Finding(gate="metric_0 ≥ 0.1", verdict=Verdict.PASS, message="0.5")
    return Assessment(Kind.EVALUATION, (passed,), {"metrics": metrics})


def _training(project: Project, exported: Exported, trials: int) -> Training:
    began = datetime(2026, 3, 1, tzinfo=UTC)
    return Training(
        model="returns",
        folder=exported.folder,
        signature=exported.signature,
        code=Repository.discover(project.root).head(),
        data="sha256:" + "d" * 64,
        source="data/orders.parquet",
        window=(None, None),
        params={f"param_{place}": place for place in range(40)},
        rows=1500,
        trials=tuple(Trial(place, "xgboost", {"max_depth": place}, 0.3, 1.0, 10, began) for place in range(trials)),
    )


@pytest.mark.parametrize("trials", [0, 5])
def test_figures_are_logged_in_batches(
    published: Project, exported: Exported, asked: Counter[str], trials: int
) -> None:
    """A hundred metrics and forty parameters are one call; each trial is one more, and so is the search's course."""
    release = register(published.root, _training(published, exported, trials), [_figures(33)])
    assert asked == {"log_batch": 1 + trials + (1 if trials else 0)}
    client = Registry(layout.tracking_uri(published.root)).client
    run = client.get_run(client.get_model_version("returns", str(release.version)).run_id)
    assert len(run.data.metrics) >= 99
    assert len(run.data.params) >= 40
