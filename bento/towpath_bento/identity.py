"""Which request a log line, an answer and a row of the journal are about."""

import itertools
import re
import secrets
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from towpath_bento.headers import by_name

REQUEST_HEADER: Final = "x-request-id"
REQUEST_KEY: Final = "towpath.request"  # where a request's scope holds its id

_GIVEN: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_NAME: Final = REQUEST_HEADER.encode()

# The scope of the request that is being answered; threads and tasks that work for it see it too.
CURRENT: ContextVar[MutableMapping[str, Any] | None] = ContextVar("towpath_request", default=None)


def numbers() -> Iterator[str]:
    """Yield ids that no other worker yields: a beginning of its own, and a number."""
    own = secrets.token_hex(6)
    return (f"{own}-{number:x}" for number in itertools.count())


def identify(scope: MutableMapping[str, Any], fresh: Iterator[str]) -> str:
    """Return the id that the caller gave the request, or a fresh one, and let the log know it.

    A caller's id of other letters than A-Z a-z 0-9 . _ : - or of more than 64 is not repeated.
    """
    given = by_name(scope).get(_NAME)
    name = given.decode() if given is not None and _GIVEN.fullmatch(given) else next(fresh)
    scope[REQUEST_KEY] = name
    CURRENT.set(scope)
    return name
