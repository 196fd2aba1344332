"""What a release was made from is told to others, and a release never fails by it."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.assets import Asset

from towpath_flows import assets, lineage
from towpath_flows.data.sources import Input
from towpath_gitops.records.lineage import Lineage
from towpath_gitops.records.release import Release

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
RELEASE = Release(model="returns", version=1, semver="1.0.0", artifact=ONE, schema=ONE, data=TWO, code="d" * 40)
READ = (Input("data/orders.parquet", ONE, 10), Input("s3://shop/2026/sellers.csv", TWO, 20))
RECORD = Lineage(
    release=RELEASE.id, source="two files", data=TWO, rows=7, inputs=lineage.inputs_of(READ), code="d" * 40,
    tool="towpath", created=BEGAN,
)  # fmt: skip


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
    lineage.announce(tmp_path, RELEASE, RECORD, began=BEGAN)
    start, end = [json.loads(line) for line in (tmp_path / ".towpath" / "openlineage.jsonl").read_text().splitlines()]
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert datetime.fromisoformat(start["eventTime"]) == BEGAN
    assert [(each["namespace"], each["name"]) for each in end["inputs"]] == [
        ("file", "data/orders.parquet"),
        ("s3://shop", "2026/sellers.csv"),
    ]
    assert [each["facets"]["version"]["datasetVersion"] for each in end["inputs"]] == [ONE, TWO]
    assert end["outputs"][0]["facets"]["version"]["datasetVersion"] == RELEASE.id
    assert end["job"]["facets"]["sourceCodeLocation"]["version"] == RELEASE.code


def test_events_go_over_http_by_setting(
    tmp_path: Path, collector: tuple[str, list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenLineage's own variable sends them elsewhere, and nothing is written here."""
    address, taken = collector
    monkeypatch.setenv("OPENLINEAGE_URL", address)
    lineage.announce(tmp_path, RELEASE, RECORD, began=BEGAN)
    assert [(event["path"], event["eventType"]) for event in taken] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]
    assert not (tmp_path / ".towpath").exists()


def test_events_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenLineage's own clients do."""
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    lineage.announce(tmp_path, RELEASE, RECORD, began=BEGAN)
    assert not (tmp_path / ".towpath").exists()


def test_a_release_stands_without_its_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be sent is named in the log, and no more."""
    (tmp_path / ".towpath").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING, logger="towpath"):
        assets.announce(tmp_path, RELEASE, RECORD)
    assert "was not sent to OpenLineage" in caplog.text


@given(st.text(min_size=1, max_size=800))
def test_every_input_can_be_an_asset(uri: str) -> None:
    """Whatever an input is called, Prefect takes its key."""
    assert Asset(key=assets.asset_key(uri)).key


def test_keys_of_assets_are_addresses() -> None:
    """An address stays what it is; a path is one of a file."""
    assert assets.asset_key("s3://shop/a.csv") == "s3://shop/a.csv"
    assert assets.asset_key("data/a b.csv") == "file://data/a_b.csv"
