"""A proxy before a real server, and what goes wrong on the way: before a request is passed on, or after it was."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Each is of one connection only, or is written anew.
_OF_THE_WAY = frozenset({"content-length", "transfer-encoding", "date", "server", "connection"})


@dataclass
class Fault:
    """What goes wrong, once, with the first request that it fits."""

    request: str  # a pattern for "VERB /path"
    status: int | None = None  # answer with this instead
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    page: bytes | None = None  # instead of a message in JSON
    passed_on: bool = False  # only after the server has acted
    cut: bool = False  # half of the answer, then nothing
    reset: bool = False  # no answer at all
    late_s: float = 0.0  # the answer waits for so long
    left: int = 1  # how often
    skip: int = 0  # how many requests that it fits go by first


@dataclass
class Exchange:
    """A request that reached the proxy."""

    verb: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str]

    def __str__(self) -> str:
        """Name it as patterns of faults do."""
        return f"{self.verb} {self.path}"


class FaultyProxy:
    """Listens on a free port of this machine, and hands every request to `pass_on`, unless a fault befalls it."""

    def __init__(self, pass_on: "Callable[[Exchange], Reply]") -> None:
        """Start."""
        self.faults: list[Fault] = []
        self.seen: list[Exchange] = []
        self.met: list[Fault] = []  # the faults that happened, each time
        self._pass_on = pass_on
        self._lock = threading.Lock()
        self._server = serve(self._answer)
        self.port = self._server.server_port

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, exchange: Exchange) -> "Reply":
        fault = self._fault(exchange)
        if fault is None or fault.passed_on:
            reply = self._pass_on(exchange)
        if fault is None:
            return reply
        time.sleep(fault.late_s)
        if fault.status:
            data = json.dumps({"message": fault.message, "documentation_url": "https://docs.github.test"}).encode()
            return Reply(fault.status, data if fault.page is None else fault.page, fault.headers)
        if fault.cut:
            return Reply(reply.status, reply.data, reply.headers, sent=len(reply.data) // 2)
        return Reply(0, b"", {}, sent=None) if fault.reset else reply

    def _fault(self, exchange: Exchange) -> Fault | None:
        """Return what befalls a request."""
        with self._lock:
            self.seen.append(exchange)
            for fault in self.faults:
                if fault.left and re.search(fault.request, str(exchange)):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.left -= 1
                    self.met.append(fault)
                    return fault
        return None


@dataclass
class Reply:
    """An answer; `sent` bytes of it (None: nothing, the connection is reset)."""

    status: int
    data: bytes
    headers: dict[str, str]
    sent: int | None = -1


def forward(port: int, exchange: Exchange) -> Reply:
    """Pass a request on to a port of this machine, and return what is answered there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        query = f"?{exchange.headers['x-query']}" if exchange.headers["x-query"] else ""
        connection.request(exchange.verb, exchange.path + query, exchange.body, exchange.headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(), {key.lower(): each for key, each in answer.getheaders()})
    finally:
        connection.close()


def serve(answer: Callable[[Exchange], Reply]) -> ThreadingHTTPServer:
    """Return a server on a free port of this machine that answers until it is closed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {key.lower(): each for key, each in self.headers.items()} | {"x-query": address.query}
            query = parse_qs(address.query, keep_blank_values=True)
            reply = answer(Exchange(self.command, address.path, query, self.rfile.read(length), headers))
            if reply.sent is None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()
                return
            self.send_response(reply.status)
            for key, each in reply.headers.items():
                if key not in _OF_THE_WAY:
                    self.send_header(key, each)
            self.send_header("Content-Length", str(len(reply.data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.data if reply.sent == -1 else reply.data[: reply.sent])
            self.close_connection = reply.sent != -1

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 (http.server looks for these names)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
