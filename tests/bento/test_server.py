# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
import json
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath_bento.limits import MAX_BODY_BYTES

ROUTES = (
    "/v1/predict",
    "/invocations",
    "/version",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/ping",
    "/",
    "/x",
)
PROBLEM = "application/problem+json"


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        """Name the file to be made."""
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Call `touch` when read."""
        return Path.touch, (self.path,)


def test_a_prediction_names_its_release(service: Any, row: dict[str, Any]) -> None:
    """One row and many are answered in order, with lane and release in the headers."""
    answer = service.predict(row, {"distance km": 0, "note": ""})
    released = service.client.get("/version").json()["release"]
    assert answer.status_code == 200
    assert answer.headers["x-towpath-lane"] == "champion"
    assert answer.headers["x-towpath-release"] == answer.json()["release"] == released
    assert [item["label"] for item in answer.json()["predictions"]] == ["late", "late"]
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(0.9770226)


def test_equal_requests_have_equal_bytes(service: Any, row: dict[str, Any]) -> None:
    """Answers hold no time and no number of their own, on either route that predicts."""
    bodies = {service.predict(row).content for _ in range(5)}
    bodies.add(service.client.post("/invocations", json={"rows": [row]}).content)
    assert len(bodies) == 1


def test_thousands_of_rows_are_answered(service: Any, row: dict[str, Any]) -> None:
    """A large batch gives the same numbers as its rows one by one."""
    many = service.predict(*[row] * 5000).json()["predictions"]
    assert many == service.predict(row).json()["predictions"] * 5000


def test_health_and_identity(service: Any) -> None:
    """A service with a champion is alive, ready and converged."""
    for path in ("/livez", "/readyz", "/ping"):
        assert service.client.get(path).status_code == 200
    version = service.client.get("/version").json()
    assert version["model"] == "tiny"
    assert version["environment"] == "testing"
    assert version["converged"] is True
    assert version["error"] is None
    assert len(version["workers"]) == 1


def test_the_contract_is_served(service: Any) -> None:
    """The OpenAPI document names the columns of the live release."""
    made = service.client.get("/openapi.json").json()
    assert "distance km" in made["components"]["schemas"]["Row"]["properties"]


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"rows": [{"distance km": NaN}]}', 400, None),
        (b'{"rows": [{"distance km": Infinity}]}', 400, None),
        (b"[" * 100_000, 400, None),
        (b"\xff", 400, None),
        (b'{"rows": []}', 422, (None, "rows")),
        (b'{"rows": [{"note": "x", "distance km": 1e39}]}', 422, (0, "distance km")),
        (b'{"rows": [{"note": "x", "distance km": 1, "hour": 99999999999999999999}]}', 422, (0, "hour")),
        (b'{"rows": [{"note": "x", "distance km": 1}, {"note": "x"}]}', 422, (1, "distance km")),
        (b'{"rows": [{"note": 7, "distance km": 1}]}', 422, (0, "note")),
        (b'{"rows": [{"note": "x", "distance km": 1, "city": "Paris"}]}', 422, (0, "city")),
        (b'{"rows": [{"note": "x", "distance km": 1, "hours": 1}]}', 422, (0, "hours")),
    ],
)
def test_bad_input_gets_a_problem_document(
    service: Any, body: bytes, status: int, place: tuple[int | None, str] | None
) -> None:
    """What cannot be answered says why, never with a server error."""
    answer = service.client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    if place:
        assert (problem["errors"][0]["row"], problem["errors"][0]["field"]) == place


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/predict", {"content-type": "text/csv"}, 415),
        ("POST", "/v1/predict", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ("GET", "/v1/predict", {}, 405),
        ("DELETE", "/version", {}, 405),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/schema.json", {}, 404),
        ("HEAD", "/version", {}, 200),
    ],
)
def test_wrong_requests_are_told_so(service: Any, method: str, path: str, headers: dict[str, str], status: int) -> None:
    """Wrong types, methods and paths have their own statuses; BentoML's own routes cannot be reached."""
    answer = service.client.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == (PROBLEM if status != 200 else "application/json")


@pytest.mark.parametrize("path", ROUTES)
def test_pickle_is_refused_on_every_route(service: Any, tmp_path: Path, path: str) -> None:
    """BentoML's pickle type is answered 415 whatever the route, and is never opened."""
    canary = tmp_path / "canary"
    body = pickle.dumps(Canary(canary))
    for kind in ("application/vnd.bentoml+pickle", "Application/VND.BentoML+Pickle; x=1"):
        answer = service.client.post(path, content=body, headers={"content-type": kind, "payload-container": "Pickle"})
        assert answer.status_code == 415
    assert not canary.exists()


def test_a_large_body_is_refused_at_once(service: Any) -> None:
    """Ten megabytes of JSON get 413 within a second."""
    begun = time.monotonic()
    body = b'{"rows": ["' + b"x" * 10_000_000 + b'"]}'
    answer = service.client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert time.monotonic() - begun < 1


def test_an_endless_body_is_refused_at_once(service: Any, row: dict[str, Any]) -> None:
    """A body without an end gets 413 soon after it has passed the limit, and the service goes on."""
    block = b"x" * 2**20
    head = (
        b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(head)
        for _ in range(MAX_BODY_BYTES // len(block) + 1):
            connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - begun < 1.5
    assert service.predict(row).status_code == 200


def test_half_a_body_does_not_hold_up_others(service: Any, row: dict[str, Any]) -> None:
    """While one caller dawdles, others are answered; when it hangs up nothing is left behind."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert service.predict(row).status_code == 200
    assert service.predict(row).status_code == 200
    assert "Traceback" not in service.log


def test_only_loopback_is_listened_on(service: Any) -> None:
    """Other machines cannot reach the service."""
    sockets = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [local for local, _, state in sockets if state == "0A" and local.endswith(f":{service.port:04X}")]
    assert listening == [f"0100007F:{service.port:04X}"]


def test_metrics_count_requests_and_refusals(service: Any, row: dict[str, Any]) -> None:
    """Requests, rows and refusals are counted by lane, release and status."""
    before = counters(service)
    service.predict(row, row)
    service.predict({})
    after = counters(service)
    release = service.client.get("/version").json()["release"]
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert grown[f'towpath_requests_total{{lane="champion",release="{release}",status="200"}}'] == 1
    assert grown[f'towpath_rows_total{{lane="champion",release="{release}"}}'] == 2
    assert grown['towpath_requests_total{lane="none",release="none",status="422"}'] == 1
    assert after[f'towpath_serving_workers{{lane="champion",release="{release}"}}'] == 1


def counters(service: Any) -> dict[str, float]:
    """Return all metrics by name and labels."""
    lines = service.client.get("/metrics").text.splitlines()
    pairs: Iterator[list[str]] = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_the_log_is_quiet(service: Any) -> None:
    """A request leaves no line in the log, and nothing warns."""
    before = service.log
    service.predict({})
    assert service.log == before
    assert not any(word in before for word in ("Traceback", "WARNING", "ERROR"))


def test_answers_survive_json_with_any_name(service: Any) -> None:
    """A field name that has no UTF-8 form is told back without failing."""
    answer = service.client.post(
        "/v1/predict", content=b'{"rows": [{"\\ud800": 1}]}', headers={"content-type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    json.loads(answer.content)
