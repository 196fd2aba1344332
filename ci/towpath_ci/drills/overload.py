"""More than a service can hold: it says so at once, and when to come again, and goes on as before."""

import http.client
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_ci.drills.worker import held, rows, said, serving
from towpath_gitops.delivery.loopback import HOST, Answer, ask
from towpath_gitops.errors import UnavailableError

_ROWS: Final = 3_000  # of one request: it takes long enough to be waited for
_FEW, _MANY = 8, 64  # callers; a service answers 2 large requests at a time, and lets 16 wait
_PAUSE_S: Final = 2.0  # after which a worker would have refused what it has
_ANSWER_S: Final = 60.0  # whoever has none by then is stuck
_PATH: Final = "/v1/predict"
_JSON: Final = "application/json"


class TooManyCallers(Drill):
    """Callers beyond those that a service can hold are turned away at once, and nobody is left waiting."""

    injected = "64 large requests in one moment, to a worker that answers 2 at a time and lets 16 wait"
    gate = "overload"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let as many ask as it can hold."""
        return _turned_away(stage, _FEW)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let many more ask."""
        return _turned_away(stage, _MANY)


class StackedBodies(Drill):
    """Large requests that arrive slowly fill no memory beyond what a service may hold of all of them together."""

    injected = "8 requests of 8 MiB, each stopped before its last byte, to a worker that may hold 16 MiB of them"
    gate = TooManyCallers.gate

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let one stop, and finish."""
        return _stopped(stage, 1)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let all of them stop."""
        return _stopped(stage, 8)


class EndlessHead(Drill):
    """A head that does not end is refused as soon as it is too large, and keeps no worker busy."""

    injected = "a request one of whose fields goes on beyond the 64 KiB that a head may have"
    gate = TooManyCallers.gate

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let a field be long."""
        return _headed(stage, 2**15)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let it not end."""
        from towpath_bento.limits import MAX_HEAD_BYTES  # noqa: PLC0415 (heavy: only some drills need it)

        return _headed(stage, MAX_HEAD_BYTES + 1)


def _headed(stage: Stage, head_bytes: int) -> Sequence[Refusal]:
    """Let a caller pause after so many bytes of a head, and return whether it was turned away before the end of it."""
    champion = held(stage, stage.good)
    body = rows(champion, 1)
    with serving(champion) as worker, socket.create_connection((HOST, worker.port), _ANSWER_S) as caller:
        start = f"POST {_PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\nX-Note: ".encode()
        caller.sendall(start.ljust(head_bytes, b"-"))
        if not select.select([caller], [], [], _PAUSE_S)[0]:
            caller.sendall(b"\r\n\r\n" + body)
        response = http.client.HTTPResponse(caller)
        response.begin()
        refused = _too_large(Answer(response.status, response.read(), dict(response.getheaders())))
        afterwards = _refusals(ask(worker.port, _PATH, body))
    return [Refusal("recovery", each.reason) for each in afterwards] or refused


def _too_large(answer: Answer) -> Sequence[Refusal]:
    if answer.status != HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return _refusals(answer)
    return [Refusal(EndlessHead.gate, said(answer))]


def _stopped(stage: Stage, callers: int) -> Sequence[Refusal]:
    """Let callers stop before their last byte, and return who was turned away; small requests never are."""
    from towpath_bento.limits import MAX_BODY_BYTES  # noqa: PLC0415 (heavy: only some drills need it)
    from towpath_bento.settings import Limits  # noqa: PLC0415 (as above)

    champion = held(stage, stage.good)
    small = rows(champion, 1)
    with serving(champion, limits=Limits(body_bytes=2 * MAX_BODY_BYTES)) as worker:
        large = small.ljust(MAX_BODY_BYTES)
        with _begun(worker.port, large, callers) as connections:
            meanwhile = _refusals(ask(worker.port, _PATH, small))
            refused = [each for answer in _finished(connections, large) for each in _refusals(answer)]
    return [Refusal("recovery", each.reason) for each in meanwhile] or refused


def _turned_away(stage: Stage, callers: int) -> Sequence[Refusal]:
    """Let callers ask in one moment, and return who was turned away; then nobody may be any more."""
    champion = held(stage, stage.good)
    with serving(champion) as worker:
        large = rows(champion, _ROWS)
        with _begun(worker.port, large, callers) as connections:
            refused = [each for answer in _finished(connections, large) for each in _refusals(answer)]
        afterwards = _refusals(ask(worker.port, _PATH, rows(champion, 1)))
    return [Refusal("recovery", each.reason) for each in afterwards] or refused


def _refusals(answer: Answer) -> Sequence[Refusal]:
    """Return a refusal by overload as such, any other by its status, and none for an answer."""
    if answer.status == HTTPStatus.OK:
        return []
    overloaded = answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.headers.get("retry-after", "").isdecimal()
    return [Refusal(TooManyCallers.gate if overloaded else str(answer.status), said(answer))]


@contextmanager
def _begun(port: int, body: bytes, callers: int) -> Iterator[list[http.client.HTTPConnection]]:
    """Send a request from each caller but for its last byte, and hang up at the end of the block."""
    with ExitStack() as stack:
        connections = [http.client.HTTPConnection(HOST, port, timeout=_ANSWER_S) for _ in range(callers)]
        for each in connections:
            stack.callback(each.close)
            each.putrequest("POST", _PATH)
            each.putheader("Content-Type", _JSON)
            each.putheader("Content-Length", str(len(body)))
            with suppress(OSError):  # cut off: the answer is there already
                each.endheaders(body[:-1])
        yield connections


def _finished(connections: Sequence[http.client.HTTPConnection], body: bytes) -> list[Answer]:
    """Send all the last bytes in one moment, and return what each caller is answered."""
    for each in connections:
        with suppress(OSError):  # as above
            each.send(body[-1:])
    return [_received(each) for each in connections]


def _received(connection: http.client.HTTPConnection) -> Answer:
    """Return what a caller is answered.

    Raises:
        UnavailableError: nothing.
    """
    try:
        response = connection.getresponse()
        return Answer(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError("A caller of an overloaded service is not answered", why=str(error)) from error
