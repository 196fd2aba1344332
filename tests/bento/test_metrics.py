# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""What is counted of answers and of workers, whoever of them answers."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from towpath_bento import metrics, tally, vitals
from towpath_bento.journal import names
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.reading import read_journal
from towpath_bento.lane import Lane, load
from towpath_bento.problems import FieldError
from towpath_bento.tally import Tally
from towpath_gitops.records.signature import Column, Seen

WAIT_S = 60
DECILES = tuple(tenth / 10 for tenth in range(1, 10))
SEEN = {"distance km": Seen(minimum=1, maximum=9), "city": Seen(categories=("Gent",))}


@pytest.fixture(autouse=True)
def _own_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's releases take the room of another's."""
    monkeypatch.setattr(tally, "_told", {})


def count(name: str, lane: Lane, rows: list[dict[str, Any]], values: Any = None) -> None:
    """Count one request of these rows, answered by the engine or as said."""
    body = msgspec.json.encode({"rows": rows})
    columns = lane.codec.decode(body).columns
    answer = lane.engine.predict(columns) if values is None else np.array(values)
    Tally(name, lane).count([Noted(name, lane, columns, answer, None, "r", 0.0, 0.001, len(body), sampled=False)])


def told(metric: Any) -> dict[tuple[str, ...], float]:
    """Return a counter's values by its labels."""
    return {labels: child._value.get() for labels, child in metric._metrics.items() if child._value.get()}


def knowing(tiny: Callable[..., Any], **fields: Any) -> Lane:
    """Return a release that knows what its training saw."""
    inputs = tuple(
        column.model_copy(update={"seen": SEEN.get(column.name)}) for column in load(tiny().lane).codec.signature.inputs
    )
    return load(tiny(told={"inputs": inputs, "deciles": DECILES, **fields}, version=2).lane)


def test_missing_and_new_values_are_counted_by_column(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """A text that training never saw, a number beyond its range, and what is missing; known values count nowhere."""
    lane = knowing(tiny)
    missing, unseen = told(metrics.MISSING), told(metrics.UNSEEN)
    count("champion", lane, [row, row | {"distance km": 9.5, "city": "Delft"}, {"distance km": 0.5, "note": ""}])
    grown = {key: value - unseen.get(key, 0) for key, value in told(metrics.UNSEEN).items() if value != unseen.get(key)}
    assert grown == {(lane.release, "distance km"): 2, (lane.release, "city"): 1}
    gaps = {key[1]: value for key, value in told(metrics.MISSING).items() if value != missing.get(key)}
    assert gaps == {"hour": 1, "holiday": 1, "city": 1, "note": 1}


def test_answers_are_counted_by_the_tenths_of_training(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """An answer on a limit belongs below it; what is beyond all limits falls into the last tenth."""
    lane = knowing(tiny, target="tenths")
    count("champion", lane, [row] * 4, [[0.1], [0.101], [0.55], [2.0]])
    found = {key[2]: value for key, value in told(metrics.PREDICTIONS).items() if key[1] == lane.release}
    assert found == {"1": 1, "2": 1, "6": 1, "10": 1}


def test_answers_of_several_classes_are_counted_by_class(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """By the one that is decided for."""
    lane = load(tiny(task="multiclass").lane)
    count("champion", lane, [row] * 3, [[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1]])
    assert {key[2]: value for key, value in told(metrics.PREDICTIONS).items() if key[1] == lane.release} == {
        "a": 1,
        "b": 2,
    }


def test_nobodys_traffic_is_not_counted_as_such(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """Towpath's own questions tell nothing of the world; the shadow's answers are no caller's requests."""
    lane = knowing(tiny, target="other")
    for name in ("probe", "shadow"):
        count(name, lane, [row | {"city": "Delft"}])
    assert metrics.REQUESTS.labels("probe", lane.release, "200")._value.get() == 1
    assert metrics.REQUESTS.labels("shadow", lane.release, "200")._value.get() == 0
    assert told(metrics.UNSEEN)[lane.release, "city"] == 1


def test_series_are_bounded(tiny: Callable[..., Any], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns and releases beyond the bound share one series: no owner and no caller can make thousands."""
    monkeypatch.setattr(tally, "MOST_COLUMNS", 1)
    monkeypatch.setattr(tally, "MOST_RELEASES", 1)
    first, second = knowing(tiny, target="a"), knowing(tiny, target="b")
    for lane in (first, second):
        count("champion", lane, [row | {"distance km": 0.5, "city": "Delft"}])
    found = told(metrics.UNSEEN)
    assert found[first.release, "distance km"] == found[first.release, tally.OTHER] == 1
    assert found[tally.OTHER, "distance km"] == 1
    assert not any(key[0] == second.release for key in found)


def test_refused_fields_are_counted_by_column(tiny: Callable[..., Any]) -> None:
    """Names that are no column's, which callers can invent without end, share one series."""
    signature = load(tiny().lane).codec.signature
    before = told(metrics.REFUSED)
    fields = ["hour", "hour", "city", "x", "y", None]
    metrics.count_refused([FieldError(row=0, field=field, message="") for field in fields], signature)
    grown = {
        key[0]: value - before.get(key, 0) for key, value in told(metrics.REFUSED).items() if value != before.get(key)
    }
    assert grown == {"hour": 2, "city": 1, metrics.OTHER: 2}


def test_a_batch_is_observed_like_its_requests() -> None:
    """Buckets, sum and count are those of observing one after the other, on limits and beyond them too."""
    took_s = [0.0, 0.001, 0.0010001, 0.5, 0.5, 7.0]
    found = []
    for together in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("took", "", registry=registry, buckets=(0.001, 0.5, 1.0))
        if together:
            metrics.observe_all(histogram, took_s)
        else:
            for each in took_s:
                histogram.observe(each)
        found.append([line for line in generate_latest(registry).splitlines() if b"created" not in line])
    assert found[0] == found[1]


def test_a_worker_tells_its_vitals() -> None:
    """Processor time only grows; memory and versions are those of this process."""
    vitals.introduce()
    before = metrics.CPU._value.get()
    sum(range(10**6))
    vitals.update(now=True)
    assert metrics.CPU._value.get() > before > 0
    assert metrics.MEMORY._value.get() > 10**6
    assert b'towpath_build_info{bentoml="1.' in generate_latest()


def test_two_workers_count_and_remember_as_one(
    launch: Callable[..., Any], tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Sums are those of all workers, and so is the journal; what it holds survives a killed one.

    Where the files of the sums are removed, that is told; predictions go on.
    """
    settings = "journal=Journal(share=1, flush_s=0.2)"
    service = launch(workers=2, settings=settings, champion=tiny(told={"deciles": DECILES}))
    with_refused = row | {"hour": 77}
    for _ in range(40):
        service.client.post("/v1/predict", json={"rows": [row, row]}, headers={"connection": "close"})
        service.client.post("/v1/predict", json={"rows": [with_refused]}, headers={"connection": "close"})
    release = service.client.get("/version").json()["release"]
    lane = f'lane="champion",release="{release}"'
    wanted = {
        f'towpath_requests_total{{{lane},status="200"}}': 40,
        f"towpath_rows_total{{{lane}}}": 80,
        f"towpath_request_seconds_count{{{lane}}}": 40,
        f'towpath_predictions_total{{answer="10",{lane}}}': 80,
        'towpath_feature_refused_total{column="hour"}': 40,
        "towpath_journal_rows_total": 80,
    }
    found = _until(service, lambda found: all(found.get(name) == value for name, value in wanted.items()))
    assert time.time() - 600 < found[f"towpath_live_since_timestamp_seconds{{{lane}}}"] <= time.time()
    assert found["towpath_process_cpu_seconds_total"] > 0
    journal = service.folder / "journal"
    assert len(read_journal(journal)) == 80
    assert len(list(journal.rglob("*.parquet"))) == 2
    (files,) = service.folder.rglob("prometheus_multiproc_dir")
    shutil.rmtree(files)
    lost = service.client.get("/metrics")
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "60")
    assert service.predict(row).status_code == 200
    os.kill(int(next(iter(service.client.get("/version").json()["workers"]))), signal.SIGKILL)
    kept = read_journal(journal)
    assert len(kept) == 80
    assert set(kept[names.RELEASE].to_pylist()) == {release}


def _until(service: Any, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    end = time.monotonic() + WAIT_S
    while True:
        text = service.client.get("/metrics").text
        found = {name: float(value) for name, value in re.findall(r"(?m)^([^#]\S*(?: \S+)*) (\S+)$", text)}
        if holds(found):
            return found
        assert time.monotonic() < end, text
        time.sleep(0.05)


def test_an_answer_names_its_request(service: Any, row: dict[str, Any]) -> None:
    """By the id that the caller gave it, or by one of its own; an id that could break a log is not repeated."""
    given = {"x-request-id": "order-17:a"}
    assert (
        service.client.post("/v1/predict", json={"rows": [row]}, headers=given).headers["x-request-id"] == "order-17:a"
    )
    own = [
        service.client.get("/livez", headers=headers).headers["x-request-id"]
        for headers in ({}, {"x-request-id": "a b"})
    ]
    assert own[0] != own[1]
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", each) for each in own)
    assert service.client.post("/nowhere", headers=given).headers["x-request-id"] == "order-17:a"


def test_a_column_that_training_saw_nothing_of_counts_nothing(tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """Of a sensitive column, or of an old release, nobody can say what is new."""
    inputs = (Column(name="distance km", type="number"), *load(tiny().lane).codec.signature.inputs[1:])
    lane = load(tiny(told={"inputs": inputs}, bias=0.25, version=3).lane)
    count("champion", lane, [row | {"distance km": 1e30}])
    assert not any(key[0] == lane.release for key in told(metrics.UNSEEN))
    assert not any(key[1] == lane.release for key in told(metrics.PREDICTIONS))
