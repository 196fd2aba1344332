"""A request's headers by name, looked for once: to go through them for each of six would cost more."""

from collections.abc import MutableMapping
from typing import Any, Final

_KEPT: Final = "towpath.headers"  # where a request's scope holds them, once they were looked for
_MOST_DIGITS: Final = 18  # of a length that is worth reading


def by_name(scope: MutableMapping[str, Any]) -> dict[bytes, bytes]:
    """Return a request's headers by name in lower case, of several the first."""
    found: dict[bytes, bytes] | None = scope.get(_KEPT)
    if found is None:
        found = scope[_KEPT] = dict(reversed(scope["headers"]))
    return found


def header(scope: MutableMapping[str, Any], wanted: bytes) -> str:
    """Return the first header called `wanted` (in lower case), or nothing."""
    return by_name(scope).get(wanted, b"").decode("latin-1")


def declared_size(scope: MutableMapping[str, Any]) -> int:
    """Return how many bytes a request says its body has; 0 where it does not say."""
    declared = by_name(scope).get(b"content-length", b"")
    if not declared.isdigit():
        return 0
    return int(declared) if len(declared) <= _MOST_DIGITS else 10**_MOST_DIGITS
