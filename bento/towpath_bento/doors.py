"""What all operations of a contract have in common: who may ask them, and the id by which an answer is found again."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from towpath_bento import problems
from towpath_bento.identity import REQUEST_HEADER

_TEXT: Final = {"schema": {"type": "string"}}
_REQUEST: Final = {
    REQUEST_HEADER: {
        "description": "the id that the caller gave the request, or a fresh one; what is logged about it names it",
        "required": True,
        **_TEXT,
    }
}
_PROBLEM: Final = {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_REFUSED: Final = {
    "description": "The caller did not show that it may ask",
    "headers": {"www-authenticate": {"description": "how to (RFC 6750)", "required": True, **_TEXT}},
    "content": _PROBLEM,
}
_UNKNOWN: Final = {"description": "It cannot be told now whether the caller may ask", "content": _PROBLEM}


class Doors(NamedTuple):
    """Who may ask a service, as OpenAPI says it."""

    schemes: Mapping[str, dict[str, Any]]  # security schemes by name; each is enough
    open: frozenset[str]  # paths that need none
    outside: bool  # whether somebody else is asked who a caller is, who may be away


def complete(document: dict[str, Any], doors: Doors | None) -> dict[str, Any]:
    """Return an OpenAPI document whose operations say who may ask them, and whose answers have an id."""
    paths = {path: _operations(path, operations, doors) for path, operations in document["paths"].items()}
    schemes = {"securitySchemes": dict(doors.schemes)} if doors else {}
    return document | {"paths": paths, "components": document["components"] | schemes}


def _operations(path: str, operations: dict[str, Any], doors: Doors | None) -> dict[str, Any]:
    if doors is None or path in doors.open:
        return {method: _numbered(operation) for method, operation in operations.items()}
    return {method: _numbered(_guarded(operation, doors)) for method, operation in operations.items()}


def _guarded(operation: dict[str, Any], doors: Doors) -> dict[str, Any]:
    refusals = {"401": _REFUSED} | ({"503": _UNKNOWN} if doors.outside else {})
    security: list[dict[str, list[str]]] = [{name: []} for name in doors.schemes]
    return operation | {"security": security, "responses": refusals | operation["responses"]}


def _numbered(operation: dict[str, Any]) -> dict[str, Any]:
    responses = operation["responses"].items()
    numbered = {status: each | {"headers": each.get("headers", {}) | _REQUEST} for status, each in responses}
    return operation | {"responses": numbered}
