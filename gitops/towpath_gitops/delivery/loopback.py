"""Asking a service on this machine's loopback: always with a timeout, never following a redirect elsewhere."""

import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.pointer import PROBE_HEADER, LaneName

HOST: Final = "127.0.0.1"
KEY_VARIABLE: Final = "TOWPATH_API_KEY"  # one of the keys that the service takes
_LARGEST_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What a service answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]  # names in lower case


def ask(
    port: int, path: str, body: bytes | None = None, *, probe: LaneName | None = None, timeout_s: float = 10.0
) -> Answer:
    """GET `path`, or POST a JSON `body` to it, at a port of the loopback, over a connection of its own.

    With `probe` that lane answers, whatever the split says, and the service does not count it as traffic. Where the
    service asks for an API key, the one in `TOWPATH_API_KEY` is shown.

    Raises:
        UnavailableError: nobody listens, the answer is late, cut off, not HTTP, or larger than 16 MB.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    headers |= {PROBE_HEADER: probe} if probe else {}
    headers |= {"X-Api-Key": os.environ[KEY_VARIABLE]} if os.environ.get(KEY_VARIABLE) else {}
    try:
        connection.request("GET" if body is None else "POST", path, body=body, headers=headers)
        response = connection.getresponse()
        data = response.read(_LARGEST_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"The service on port {port} does not answer {path}", why=f"{type(error).__name__}: {error}"
        ) from error
    finally:
        connection.close()
    if len(data) > _LARGEST_ANSWER:
        raise UnavailableError(f"The service on port {port} answers {path} with more than 16 MB")
    return Answer(response.status, data, {name.lower(): value for name, value in response.getheaders()})
