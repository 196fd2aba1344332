"""Requests that flow while releases change, so that a lost one would be seen."""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

PAUSE_S = 0.02
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """What one request got: HTTP status (0: nobody answered), the release that answered, when (monotonic seconds)."""

    at_s: float
    status: int
    release: str | None


@dataclass
class Traffic:
    """A caller that asks a service on loopback again and again, in a thread of its own."""

    port: int
    rows: Sequence[Mapping[str, Any]]
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop asking, and wait for the last answer."""
        self._stop.set()
        if self._thread:
            self._thread.join(TIMEOUT_S + 1)

    @property
    def answered(self) -> int:
        """How many requests got a prediction."""
        return sum(answer.status == http.HTTPStatus.OK for answer in self.answers)

    @property
    def failed(self) -> int:
        """How many requests got anything else, or nothing."""
        return len(self.answers) - self.answered

    def first_answer_of(self, release: str, since_s: float) -> float | None:
        """Return when (monotonic seconds) `release` first answered a request after `since_s`, or None."""
        times = (answer.at_s for answer in self.answers if answer.release == release and answer.at_s >= since_s)
        return next(times, None)

    def _ask_on(self) -> None:
        body = json.dumps({"rows": list(self.rows)})
        while not self._stop.wait(PAUSE_S):
            status, release = self._ask(body)
            self.answers.append(Answer(time.monotonic(), status, release))

    def _ask(self, body: str) -> tuple[int, str | None]:
        status, headers, _ = post(self.port, body)
        return status, headers.get("x-towpath-release")


def post(port: int, body: str) -> tuple[int, Mapping[str, str], bytes]:
    """Send one prediction request to a service on loopback; status 0 stands for no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/v1/predict", body, {"content-type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return 0, {}, b""
    finally:
        connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, content
