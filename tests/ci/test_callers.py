"""Callers under whose eyes a service is changed: each request counts, answered or not."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from towpath_ci.drills.callers import Call, Calls, calling
from towpath_gitops.errors import DeliveryError

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64


class Handler(BaseHTTPRequestHandler):
    """Answers with the release that serves, and with 503 when none does."""

    release = OLD

    def do_POST(self) -> None:
        """Read the request and answer it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.release else 503)
        self.send_header("x-towpath-release", self.release)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    """A service that answers."""
    Handler.release = OLD
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_first_answer_of_the_new_release_is_found(port: int) -> None:
    """Requests go on while the service changes; none is lost."""
    with calling(port, b"{}", rate=200.0) as calls:
        Handler.release = NEW
        threading.Event().wait(0.3)
    assert calls.failed == 0
    since_s = calls.made[0].answered_s
    assert calls.back_after_s(since_s, NEW) >= 0
    assert len(calls.made) > 1


def test_a_request_that_is_refused_is_a_failure(port: int) -> None:
    """One answer that is not 200 is enough."""
    with calling(port, b"{}", rate=200.0) as calls:
        Handler.release = ""
        threading.Event().wait(0.3)
    assert calls.failed > 0
    with pytest.raises(DeliveryError, match="requests failed"):
        calls.back_after_s(0.0, OLD)


def test_a_release_that_never_answers_is_not_back() -> None:
    """Nor is one whose answers are older than the merge."""
    calls = Calls([Call(1.0, 200, OLD), Call(3.0, 200, NEW)])
    assert calls.back_after_s(0.5, OLD) == 0.5
    with pytest.raises(DeliveryError, match="None of 2 requests"):
        calls.back_after_s(2.0, OLD)


def test_a_request_without_any_answer_is_a_failure() -> None:
    """Nobody listens."""
    assert Calls([Call(1.0, 0, None)]).failed == 1
