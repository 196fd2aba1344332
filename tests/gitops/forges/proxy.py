"""A proxy that knows GitHub's own description of its API: what it does not allow comes through in neither direction.

In front of it, faults can be injected between client and proxy: before the request is passed on, or after it was.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.responses.exceptions import ResponseNotFound
from werkzeug.datastructures import Headers, ImmutableMultiDict

sys.path.append(str(Path(__file__).parents[1]))
from faulty_http import Exchange, Fault, FaultyProxy, Reply, forward, serve

__all__ = ["Exchange", "Fault", "Proxy", "Reply", "description", "serve"]

DESCRIPTION: Final = Path(__file__).with_name("github_api.json")


@cache
def description() -> dict[str, Any]:
    """Return GitHub's description, trimmed."""
    loaded: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    return loaded


@cache
def _api() -> OpenAPI:
    return OpenAPI.from_dict(description() | {"servers": [{"url": "http://github.test"}]}, config=Config())


class _Request:
    """A request in the words of openapi-core."""

    def __init__(self, exchange: Exchange) -> None:
        query = ImmutableMultiDict([(key, each) for key, values in exchange.query.items() for each in values])
        self.parameters = RequestParameters(query=query, header=Headers(list(exchange.headers.items())), cookie=None)
        self.method, self.path = exchange.verb.lower(), exchange.path
        self.host_url, self.body = "http://github.test", exchange.body or None
        self.content_type = exchange.headers.get("content-type", "")


@dataclass
class _Response:
    """An answer in the words of openapi-core."""

    status_code: int
    data: bytes
    content_type: str = "application/json"
    headers: Headers = field(default_factory=Headers)


class Proxy(FaultyProxy):
    """Listens on a free port of this machine, and passes on to `upstream` what GitHub's description allows."""

    def __init__(self, upstream: int) -> None:
        """Start; `upstream` is a port of this machine."""
        self.upstream = upstream
        self.violations: list[str] = []
        super().__init__(self._passed_on)

    @contextmanager
    def tolerant(self) -> Iterator[list[str]]:
        """Yield the violations of the block, which then count no more: they were meant."""
        before = len(self.violations)
        meant: list[str] = []
        try:
            yield meant
        finally:
            meant += self.violations[before:]
            del self.violations[before:]

    def _passed_on(self, exchange: Exchange) -> Reply:
        request = _Request(exchange)
        refused = self._check(f"{exchange}: the request", lambda: _api().validate_request(request))
        if refused:
            return refused
        reply = forward(self.upstream, exchange)
        response = _Response(reply.status, reply.data)
        what = f"{exchange}: the answer {reply.status}"
        return self._check(what, lambda: _validate(request, response)) or reply

    def _check(self, what: str, validate: Callable[[], object]) -> Reply | None:
        """Return a refusal when the description does not allow it; the violation is remembered."""
        try:
            validate()
        except OpenAPIError as error:
            words = "; ".join(str(each) for each in _causes(error))
            self.violations.append(f"{what} is not allowed: {words}")
            return Reply(418, json.dumps({"message": self.violations[-1]}).encode(), {})
        return None


def _validate(request: _Request, response: _Response) -> None:
    """Validate an answer; refusals that GitHub describes nowhere, such as 401, must at least look as all do."""
    try:
        _api().validate_response(request, response)
    except ResponseNotFound:
        if response.status_code < 400 or not {"message", "documentation_url"} <= set(json.loads(response.data)):
            raise


def _causes(error: BaseException) -> Iterator[object]:
    yield error
    for each in getattr(error, "schema_errors", ()):
        yield f"{'/'.join(map(str, each.absolute_path))}: {each.message[:300]}"
    if error.__cause__:
        yield from _causes(error.__cause__)
