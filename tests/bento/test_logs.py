# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""Lines for programs, and spans for OpenTelemetry: both say which request they are about."""

import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from towpath_bento.identity import CURRENT, REQUEST_KEY
from towpath_bento.logs import JsonLines
from towpath_bento.settings import Tracing
from towpath_gitops.errors import InvalidFileError

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
WAIT_S = 60


def said(scope: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a line as a program reads it."""
    record = logging.LogRecord("towpath.x", logging.WARNING, "", 0, "%s\nnew", ("old",), None)
    vars(record).update(fields)
    token = CURRENT.set(scope)
    try:
        line = JsonLines().format(record)
    finally:
        CURRENT.reset(token)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_names_request_and_trace() -> None:
    """Where it is about one; a header that is none is not repeated."""
    scope = {REQUEST_KEY: "r7", "headers": [(b"traceparent", PARENT.encode())]}
    line = said(scope)
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("r7", TRACE, SPAN)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "towpath.x", "old\nnew")
    for parent in (b"", b"nonsense", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"):
        bare = said({REQUEST_KEY: "r7", "headers": [(b"traceparent", parent)]})
        assert {"trace_id", "span_id"}.isdisjoint(bare)
    assert "request_id" not in said()


def test_a_line_holds_an_exception_and_any_field() -> None:
    """One object to a line, whatever it holds."""
    try:
        raise ValueError("broken")  # noqa: TRY301 (to have a traceback)
    except ValueError as error:
        line = said(exc_info=(ValueError, error, error.__traceback__), fields={"status": 500, "odd": {1}})
    assert line["exception"].endswith("ValueError: broken")
    assert line["status"] == 500


def test_every_line_of_a_service_is_json(
    launch: Callable[..., Any], tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """BentoML's own lines too; with a line for each request, which says what its answer says."""
    service = launch(settings="logs=Logs(json=True, requests=True)", champion=tiny())
    headers = {"traceparent": PARENT, "x-request-id": "r7"}
    release = service.client.post("/v1/predict", json={"rows": [row]}, headers=headers).headers["x-towpath-release"]
    end = time.monotonic() + WAIT_S
    while "/v1/predict" not in service.log:
        assert time.monotonic() < end
        time.sleep(0.05)
    lines = [json.loads(line) for line in service.log.splitlines()]
    (told,) = [line for line in lines if line.get("path") == "/v1/predict"]
    assert (told["method"], told["status"], told["request_id"], told["trace_id"]) == ("POST", 200, "r7", TRACE)
    assert told["x-towpath-release"] == release
    assert told["took_ms"] > 0
    assert any("generation 1 is live" in line["message"] for line in lines)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Collect spans as an OpenTelemetry collector does; return those that came."""
    spans: list[Any] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                of = {each.key: each.value.string_value for each in resource.resource.attributes}
                spans.extend((of["service.name"], span) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield spans
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_is_a_span_of_its_callers_trace(
    launch: Callable[..., Any], tiny: Callable[..., Any], row: dict[str, Any], collector: list[Any]
) -> None:
    """It says who answered; what machines ask every few seconds is no span."""
    service = launch(settings="tracing=Tracing()", champion=tiny())
    service.client.get("/livez")
    headers = {"traceparent": PARENT, "x-request-id": "r7"}
    answer = service.client.post("/v1/predict", json={"rows": [row]}, headers=headers)
    end = time.monotonic() + WAIT_S
    while not collector:
        assert time.monotonic() < end, service.log
        time.sleep(0.05)
    ((name, span),) = collector
    assert (name, span.trace_id.hex(), span.parent_span_id.hex()) == ("tiny", TRACE, SPAN)
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert attributes["towpath.release"] == answer.headers["x-towpath-release"]
    assert (attributes["towpath.lane"], attributes["towpath.request"]) == ("champion", "r7")


def test_a_share_is_one() -> None:
    """A share of more than all is refused at once."""
    with pytest.raises(InvalidFileError, match="share is 2"):
        Tracing(share=2)
