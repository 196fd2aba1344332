"""Ask a model that Towpath serves: typed rows, typed predictions, refusals that say what is wrong."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

# --- the model's own types, in a client that `towpath client` writes -----

Row = Mapping[str, Any]
Prediction = Mapping[str, Any]

# --- asking -----


class Answer(TypedDict):
    """One prediction for each row, in order, and the release that gave them."""

    release: str
    predictions: list[Prediction]


class Fault(TypedDict):
    """One thing that is wrong with a request; `row` counts from 0, and is None for the request as a whole."""

    row: int | None
    field: str | None
    message: str


class RefusedError(Exception):
    """The service refused: `status` and `detail` say why, `faults` name rows and fields, `request` is for its log."""

    def __init__(self, status: int, detail: str, faults: Sequence[Fault] = (), request: str = "") -> None:
        """Hold what the problem document (RFC 9457) says."""
        super().__init__(f"{status}: {detail}")
        self.status, self.detail, self.faults, self.request = status, detail, tuple(faults), request


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes no other address than the one given: rows and keys are for nobody else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing, so that the redirect is an error."""


class Client:
    """Asks one service. Safe to share between threads; each request has a connection of its own."""

    def __init__(self, address: str, *, key: str = "", timeout_s: float = 10.0, tries: int = 4) -> None:
        """Ask at `address`, such as http://127.0.0.1:3000, with an API key or a token where it asks for one.

        A request that meets 503 or nobody is tried `tries` times in all, each after as long as the service says.
        """
        self._address, self._timeout_s, self._tries = address.rstrip("/"), timeout_s, tries
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def predict(self, rows: Sequence[Row], *, entity: str | None = None, release: str | None = None) -> Answer:
        """Predict rows; `entity` keeps a caller with one release in an experiment, `release` names one by its id.

        Raises:
            RefusedError: the service refuses, and goes on doing so.
            OSError: nobody answers in time.
        """
        body = json.dumps({"rows": list(rows)} | ({} if entity is None else {"entity": entity})).encode()
        answer: Answer = json.loads(self._ask(body, "application/json", release))
        return answer

    def predict_stream(self, stream: bytes, *, release: str | None = None) -> bytes:
        """Predict many rows: an Arrow IPC stream for an Arrow IPC stream.

        Raises:
            RefusedError, OSError: as `predict`.
        """
        return self._ask(stream, "application/vnd.apache.arrow.stream", release)

    def _ask(self, body: bytes, kind: str, release: str | None) -> bytes:
        path = "/v1/predict" if release is None else f"/v1/releases/{release}/predict"
        headers = self._headers | {"content-type": kind}
        request = urllib.request.Request(self._address + path, body, headers)  # noqa: S310 (the caller's own address)
        for left in reversed(range(max(1, self._tries))):
            try:
                with self._opener.open(request, timeout=self._timeout_s) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503 or not left:  # noqa: PLR2004 (as HTTP counts)
                        raise _refusal(error) from None
                    wait_s = error.headers.get("retry-after", "")
            except urllib.error.URLError:  # nobody listens, as while a service starts anew
                if not left:
                    raise
                wait_s = ""
            time.sleep(min(float(wait_s), 10.0) if wait_s.isdecimal() else 0.5)
        raise AssertionError


def _refusal(error: urllib.error.HTTPError) -> RefusedError:
    text = error.read()
    request = error.headers.get("x-request-id", "")
    try:
        problem = json.loads(text)
        return RefusedError(error.code, problem["detail"], problem.get("errors", ()), request)
    except (ValueError, KeyError, TypeError):  # no answer of the service's own: a gateway's
        return RefusedError(error.code, text[:200].decode("utf-8", "replace") or error.reason, (), request)
