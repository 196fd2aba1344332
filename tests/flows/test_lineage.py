"""What a release was made from is told to others, and a release never fails by it."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import flow
from prefect.assets import Asset

from towpath_flows import assets, lineage
from towpath_flows.data.sources import Input, Table
from towpath_flows.project import Project
from towpath_flows.spec import ModelSpec
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.release import Release

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
RELEASE = Release(model="returns", version=1, semver="1.0.0", artifact=ONE, schema=ONE, data=TWO, code="d" * 40)
READ = (Input("data/orders.parquet", ONE, 10), Input("s3://shop/2026/sellers.csv", TWO, 20))
SPEC = ModelSpec.model_validate(
    {"name": "returns", "target": "returned", "schema": "shop.schema:Orders", "data": {"train": {"file": "x.csv"}}}
)
TRAINING = lineage.Training("returns", "0190d6b2-7e5c-7c3a-9f00-000000000001", "d" * 40)
LOADED = replace(TRAINING, inputs=lineage.inputs_of(READ))


def sent(root: Path) -> list[dict[str, Any]]:
    """Return the events in the file."""
    return [json.loads(line) for line in (root / ".towpath" / "openlineage.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_ENDPOINT", "OPENLINEAGE_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Yield the address of a server that takes events, and the list of what it took."""
    taken: list[dict[str, object]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append({"path": self.path, **json.loads(body)})
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_go_to_a_file(tmp_path: Path) -> None:
    """Start and end of one run, with inputs by their digests, the release, and the commit."""
    lineage.began(tmp_path, TRAINING, BEGAN)
    lineage.completed(tmp_path, LOADED, RELEASE)
    start, end = sent(tmp_path)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert datetime.fromisoformat(start["eventTime"]) == BEGAN
    assert [(each["namespace"], each["name"]) for each in end["inputs"]] == [
        ("file", "data/orders.parquet"),
        ("s3://shop", "2026/sellers.csv"),
    ]
    assert [each["facets"]["version"]["datasetVersion"] for each in end["inputs"]] == [ONE, TWO]
    assert [each["inputFacets"]["dataQualityMetrics"]["bytes"] for each in end["inputs"]] == [10, 20]
    assert end["outputs"][0]["facets"]["version"]["datasetVersion"] == RELEASE.id
    assert end["job"]["facets"]["sourceCodeLocation"]["version"] == RELEASE.code


def test_events_go_over_http_by_setting(
    tmp_path: Path, collector: tuple[str, list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenLineage's own variable sends them elsewhere, and nothing is written here."""
    address, taken = collector
    monkeypatch.setenv("OPENLINEAGE_URL", address)
    lineage.began(tmp_path, TRAINING, BEGAN)
    lineage.completed(tmp_path, LOADED, RELEASE)
    assert [(event["path"], event["eventType"]) for event in taken] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]
    assert not (tmp_path / ".towpath").exists()


def test_events_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenLineage's own clients do."""
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    lineage.began(tmp_path, TRAINING, BEGAN)
    assert not (tmp_path / ".towpath").exists()


def run(root: Path, ends: Callable[[], None]) -> None:
    """Run a training of two stages as a Prefect flow."""

    @flow(name="train")
    def train() -> None:
        assets.begin(Project(root, SPEC), "d" * 40)
        assets.read(Table(pd.DataFrame(), TWO, "two files", (None, None), READ))
        ends()

    train()


def refused() -> None:
    """Fail as a stage does, for a reason that holds a value of the data."""
    raise DataContractError("data/orders.parquet breaks 1 rules of the schema:", why="amount is 4242")


def broken() -> None:
    """Fail as a library does."""
    message = "could not convert string to float: '4242'"
    raise ValueError(message)


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("ends", "words"), [(refused, "data/orders.parquet breaks 1 rules of the schema"), (broken, "ValueError")]
)
def test_a_training_that_fails_is_told(tmp_path: Path, ends: Callable[[], None], words: str) -> None:
    """Its end follows its beginning, with what it had read, and why, but no value of the data."""
    with pytest.raises((DataContractError, ValueError)):
        run(tmp_path, ends)
    start, end = sent(tmp_path)
    assert (start["eventType"], start["inputs"]) == ("START", [])
    assert (end["eventType"], [each["name"] for each in end["inputs"]]) == (
        "FAIL",
        ["data/orders.parquet", "2026/sellers.csv"],
    )
    assert start["run"]["runId"] == end["run"]["runId"]
    assert end["run"]["facets"]["errorMessage"]["message"] == words
    assert end["outputs"] == []


@pytest.mark.usefixtures("prefect_api")
def test_a_training_has_one_end(tmp_path: Path) -> None:
    """With its release where there is one; without where nothing was made."""
    run(tmp_path, lambda: assets.announce(RELEASE))
    run(tmp_path, lambda: None)
    events = sent(tmp_path)
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 2
    assert [len(event["outputs"]) for event in events] == [0, 1, 0, 0]


@pytest.mark.usefixtures("prefect_api")
def test_a_training_goes_on_without_its_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be sent is named in the log, and no more."""
    (tmp_path / ".towpath").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING):
        run(tmp_path, lambda: assets.announce(RELEASE))
    assert "was not sent to OpenLineage" in caplog.text


@given(st.text(min_size=1, max_size=800))
def test_every_input_can_be_an_asset(uri: str) -> None:
    """Whatever an input is called, Prefect takes its key."""
    assert Asset(key=assets.asset_key(uri)).key


def test_keys_of_assets_are_addresses() -> None:
    """An address stays what it is; a path is one of a file."""
    assert assets.asset_key("s3://shop/a.csv") == "s3://shop/a.csv"
    assert assets.asset_key("data/a b.csv") == "file://data/a_b.csv"
