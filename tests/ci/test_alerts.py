"""Alerts: they arrive where somebody listens, go nowhere else, say no secret, and never stop the guard."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_ci import alerts, webhook
from towpath_ci.webhook import VARIABLE, Webhook
from towpath_gitops.delivery.incident import Incident, What
from towpath_gitops.errors import InvalidFileError, RefusedError, TowpathError, UnavailableError

TELL = (
    "import sys; from towpath_ci.alerts import alert; from towpath_gitops.delivery.incident import Incident;"
    "sys.exit(not alert(Incident.model_validate_json(sys.stdin.read())))"
)
CANARY = "c4n4ry-t0k3n"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
INCIDENT = Incident(
    what=What.SHIFTED,
    environment="production",
    model="flights",
    release="sha256:" + "a" * 64,
    serving="sha256:" + "b" * 64,
    commit="c" * 40,
    since=NOW,
    at=NOW,
    summary="production has DIVERGED",
    figures="errors 12.0% of 340 requests (limit 1.0%)",
    pull=7,
    command="towpath review 7",
)


@dataclass
class Listener:
    """Somebody on call: keeps what arrives, and answers with one status after the other."""

    statuses: list[int] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    port: int = 0
    delay_s: float = 0.0

    @property
    def address(self) -> str:
        """Where alerts are sent, with a secret in it."""
        return f"http://127.0.0.1:{self.port}/hook/{CANARY}?key={CANARY}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Listen on this machine."""
    listening = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            listening.paths.append(self.path)
            listening.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(listening.delay_s)
            self.send_response(listening.statuses.pop(0) if listening.statuses else 204)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listening
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test tells whoever the person at this machine tells."""
    for name in (VARIABLE, alerts.PREFECT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0, 0.0))


def test_an_incident_arrives_as_its_schema_says(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON, under the names that docs/schemas/incident.json describes, at the very path that was set."""
    monkeypatch.setenv(VARIABLE, listener.address)
    assert alerts.alert(INCIDENT)
    (body,) = listener.heard
    assert Incident.model_validate(body) == INCIDENT
    assert listener.paths == [f"/hook/{CANARY}?key={CANARY}"]


def test_with_nobody_to_tell_nothing_is_sent() -> None:
    """And it does not count as told."""
    assert not alerts.is_anybody_listening()
    assert not alerts.alert(INCIDENT)


@pytest.mark.parametrize("statuses", [[500], [503, 429], [408, 502]])
def test_whoever_is_late_is_asked_again(listener: Listener, statuses: list[int]) -> None:
    """A few times, and only when another try may help."""
    listener.statuses = [*statuses]
    Webhook.parse(listener.address).post(b"{}")
    assert len(listener.heard) == len(statuses) + 1


def test_tries_are_bounded(listener: Listener) -> None:
    """Three, then the guard goes on."""
    listener.statuses = [500] * 9
    with pytest.raises(UnavailableError, match="status 500"):
        Webhook.parse(listener.address).post(b"{}")
    assert len(listener.heard) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410])
def test_redirects_and_refusals_are_final(listener: Listener, status: int) -> None:
    """Nothing is sent to where somebody points, and nothing is repeated that was refused."""
    listener.statuses = [status]
    with pytest.raises(RefusedError, match="does not take"):
        Webhook.parse(listener.address).post(b"{}")
    assert len(listener.heard) == 1


def test_a_listener_who_dawdles_is_left(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short timeout, whatever the other side does."""
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.05)
    listener.delay_s = 0.2
    with pytest.raises(UnavailableError, match="does not answer"):
        Webhook.parse(listener.address).post(b"{}")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hook",
        "//hooks.example.org/x",
        "ftp://hooks.example.org/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
        "unix:///var/run/docker.sock",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://[::1/x",
        "https://hooks.example.org:99999/x",
        "https://hooks.example.org:port/x",
        f"https://user:{CANARY}@hooks.example.org/x",
        f"https://{CANARY}@hooks.example.org/x",
        "https://hooks.example.org/x y",
        "https://hooks.example.org/\tx",
        "https://hooks.example.org/\r\nHost: evil",
        "https://höoks.example.org/x",
        "https://hooks。example.org/x",
    ],
)
def test_what_is_no_address_is_refused_unseen(address: str) -> None:
    """Before anything is resolved or sent, and without showing what the variable holds."""
    with pytest.raises(InvalidFileError, match=VARIABLE) as refused:
        Webhook.parse(address)
    assert CANARY not in str(refused.value)
    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "addresses"),
    [
        ("https", ["169.254.169.254"]),
        ("https", ["169.254.0.1"]),
        ("https", ["::ffff:169.254.169.254"]),
        ("https", ["2002:a9fe:a9fe::1"]),
        ("https", ["64:ff9b::a9fe:a9fe"]),
        ("https", ["fe80::1"]),
        ("https", ["fe80::1%lo"]),
        ("https", ["fd00:ec2::254"]),
        ("https", ["100.100.100.200"]),
        ("https", ["168.63.129.16"]),
        ("https", ["0.0.0.0"]),  # noqa: S104 (nobody listens: it is refused)
        ("https", ["::"]),
        ("https", ["224.0.0.1"]),
        ("https", ["ff02::1"]),
        ("https", ["93.184.216.34", "169.254.169.254"]),
        ("http", ["93.184.216.34"]),
        ("http", ["10.0.0.1"]),
        ("http", ["192.168.1.1"]),
        ("http", ["127.0.0.1", "10.0.0.1"]),
        ("http", ["::ffff:10.0.0.1"]),
        ("http", ["169.254.169.254"]),
    ],
)
def test_nothing_is_sent_to_where_credentials_lie(scheme: str, addresses: list[str]) -> None:
    """However the address is spelt, and whichever of a name's addresses it is: not one of them is called."""
    parsed = Webhook.parse(f"{scheme}://hooks.example.org/{CANARY}")
    hook = Webhook(parsed.host, parsed.port, parsed.path, parsed.secure, resolve=lambda *_: addresses)
    with pytest.raises(RefusedError, match="not allowed") as refused:
        hook.post(b"{}")
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"])
def test_numbers_that_are_addresses_are_known(host: str) -> None:
    """The machine's own resolver reads them as the link-local address that they are."""
    with pytest.raises((RefusedError, UnavailableError)):
        Webhook.parse(f"http://{host}/latest/meta-data").post(b"{}")


def test_a_name_that_points_elsewhere_a_moment_later_gains_nothing(listener: Listener) -> None:
    """What was checked is what is called: the name is resolved once for each try."""
    answers: list[list[str]] = [["127.0.0.1"], ["169.254.169.254"]]
    hook = Webhook("hooks.example.org", listener.port, "/x", secure=False, resolve=lambda *_: answers.pop(0))
    hook.post(b"{}")
    assert (len(listener.heard), answers) == (1, [["169.254.169.254"]])


def test_a_stranger_with_another_certificate_hears_nothing(listener: Listener) -> None:
    """Without a certificate that proves the name, nothing is sent."""
    with pytest.raises(UnavailableError):
        Webhook("localhost", listener.port, f"/{CANARY}", secure=True).post(b"{}")
    assert listener.heard == []


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/{}", "https://169.254.169.254/{}", "http://10.0.0.1/{}", "x {}"]
)
def test_a_failing_webhook_stops_nothing_and_says_no_secret(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guard hears that nobody was told; people read which host, never the path with its token."""
    monkeypatch.setenv(VARIABLE, address.format(CANARY))
    assert alerts.alert(INCIDENT) is False
    shown = capsys.readouterr()
    assert "✗" in shown.err
    assert CANARY not in shown.out + shown.err
    assert CANARY not in repr(Webhook.parse("https://hooks.example.org/" + CANARY))


def test_one_way_that_fails_does_not_keep_the_other_waiting(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told by one is told; the other's failure is said."""

    class Broken:
        def is_set(self) -> bool:
            return True

        def send(self, _: Incident) -> None:
            raise TowpathError("It broke")

    monkeypatch.setattr(alerts, "CHANNELS", {"broken": Broken(), **alerts.CHANNELS})
    monkeypatch.setenv(VARIABLE, listener.address)
    assert alerts.alert(INCIDENT)
    assert "It broke" in capsys.readouterr().err


def test_a_prefect_that_is_away_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in one line, without the address."""
    monkeypatch.setenv(alerts.PREFECT_VARIABLE, f"http://127.0.0.1:9/{CANARY}/api")
    assert alerts.alert(INCIDENT) is False
    shown = capsys.readouterr()
    assert "Prefect does not take the event" in shown.err
    assert CANARY not in shown.out + shown.err


@pytest.mark.long
def test_prefect_holds_the_event(tmp_path: Path) -> None:
    """A real server of Prefect's, asked for its events afterwards, has it with all that automations may read."""
    from towpath_flows.server import ensure_api, stop  # noqa: PLC0415 (only this test needs a server)

    address = ensure_api(tmp_path)
    try:
        told = subprocess.run(
            [sys.executable, "-c", TELL],
            input=INCIDENT.model_dump_json(by_alias=True),
            env=os.environ | {alerts.PREFECT_VARIABLE: address},
            text=True,
            capture_output=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        event = _event(address)
    finally:
        stop(tmp_path)
    assert event["event"] == "towpath.guard.shifted"
    assert event["resource"]["prefect.resource.id"] == "towpath.production.flights"
    assert event["payload"]["release"] == INCIDENT.release


def _event(address: str) -> dict[str, Any]:
    """Return the one event of ours that a server holds, once it has stored it."""
    wanted = {"filter": {"event": {"prefix": ["towpath."]}}}
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found: list[dict[str, Any]] = httpx.post(f"{address}/events/filter", json=wanted).json()["events"]
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError
