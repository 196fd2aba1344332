"""The least that GitHub's description of its API demands of an answer, filled in where a test does not care."""

from collections.abc import Mapping
from typing import Any, Final

from proxy import description

_FORMATS: Final = {
    "uri": "https://github.test/x",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "nobody@github.test",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
_EMPTY: Final[dict[str, Any]] = {"string": "x", "integer": 1, "number": 1.0, "boolean": False, "array": []}


def filled(schema: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    """Return an answer of a kind with the given values, nested ones filled in as well."""
    made: dict[str, Any] = _made({"$ref": f"#/components/schemas/{schema}"}, values)
    return made


def _made(schema: Mapping[str, Any], values: object) -> Any:  # noqa: ANN401 (JSON)
    """Return `values` with everything that `schema` requires beside them."""
    if not isinstance(values, dict):
        return values
    fields, required = _fields(_resolved(schema))
    made = {name: _made(fields.get(name, {}), value) for name, value in values.items()}
    return {name: _sample(fields[name]) for name in required if name not in values} | made


def _sample(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    schema = _resolved(schema)
    if schema.get("nullable"):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices and "properties" not in schema:
        return _sample(choices[0])
    kind = schema.get("type", "object")
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "x")
    return _EMPTY[kind] if kind in _EMPTY else _made(schema, {})


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        _, _, kind, name = schema["$ref"].split("/")
        schema = description()["components"][kind][name]
    return schema


def _fields(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of an object and which it requires, those of all its parts together."""
    fields, required = dict(schema.get("properties", {})), list(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        more, also = _fields(_resolved(part))
        fields, required = fields | more, [*required, *also]
    return fields, required
