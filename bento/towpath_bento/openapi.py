"""The contract for callers: an OpenAPI 3.1 document made from a model's signature."""

from typing import Any, Final

from towpath_bento import problems, wire
from towpath_bento.limits import MAX_BULK_MESSAGES, MAX_BULK_ROWS, MAX_ROWS, MAX_TEXT, bounds
from towpath_bento.settings import UnknownColumns
from towpath_gitops.records.pointer import LANE_HEADER
from towpath_gitops.records.signature import Column, Signature

_TYPES: Final = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "string"}
_JSON: Final = wire.CONTENT_TYPE
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_REFUSALS: Final = {
    "400": "The body is not JSON",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The body is not said to be JSON in UTF-8",
    "422": "The rows do not fit the model; names each row and field",
    "503": "No release is live yet, too much is waiting already, or the online store does not answer",
}
_STREAM: Final = {
    "schema": {
        "description": f"Arrow IPC stream, uncompressed, of at most {MAX_BULK_ROWS} rows in fewer than "
        f"{MAX_BULK_MESSAGES} batches with the columns of Row; its answer is one with a prediction's fields, and "
        "the release in the schema's metadata"
    }
}
_OTHER_REFUSALS: Final = {
    "403": "Callers may not choose this lane",
    "404": "There is no such release here",
    "502": "The online store holds a value that the model does not take",
}
_WISH: Final = {
    "name": LANE_HEADER,
    "in": "header",
    "description": "the lane that shall answer, where callers may choose: either during a canary, else the champion",
    "schema": {"type": "string", "enum": ["champion", "challenger"]},
}


def document(
    model: str, signature: Signature, unknown: UnknownColumns = "refuse", *, release: str | None = None
) -> dict[str, Any]:
    """Return the OpenAPI document of a service for `model` whose champion, `release`, has `signature`."""
    predict = {"post": _predict(signature)}
    described = release_document(model, signature, unknown, release=release)
    described["paths"] |= {
        "/v1/predict": predict,
        "/invocations": {"post": predict["post"] | {"operationId": "invocations"}},
        "/v1/releases": {"get": _releases()},
        "/version": {"get": _simple("version", "Which release serves, and whether all workers agree")},
        "/livez": {"get": _simple("livez", "The process answers")},
        "/readyz": {"get": _simple("readyz", "A champion is live", refusals=("503",))},
        "/ping": {"get": _simple("ping", "A champion is live", refusals=("503",))},
        "/metrics": {"get": _simple("metrics", "Metrics of all workers", kind="text/plain", refusals=("503",))},
        "/openapi.json": {"get": _simple("openapi", "This document", refusals=("503",))},
    }
    return described


def release_document(
    model: str, signature: Signature, unknown: UnknownColumns = "refuse", *, release: str | None = None
) -> dict[str, Any]:
    """Return the OpenAPI document for callers who ask `release`, which has `signature`, by its id."""
    return {
        "openapi": "3.1.0",
        "info": {"title": model, "version": signature.digest, "description": f"Predicts “{signature.target}”."},
        "paths": {
            "/v1/releases/{release}/predict": {"post": _predict_by_id(_predict(signature), release)},
            "/v1/releases/{release}/openapi.json": {"get": _document_by_id(release)},
        },
        "components": {"schemas": _schemas(signature, unknown)},
    }


def _predict(signature: Signature) -> dict[str, Any]:
    request: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Request"}}
    row = {column.name: column.example for column in signature.inputs if column.example is not None}
    if len(row) == len(signature.inputs):
        request["example"] = {"rows": [row]}
    header = {"schema": {"type": "string"}}
    return {
        "operationId": "predict",
        "summary": f"Predict “{signature.target}” for one or more rows",
        "parameters": [_WISH],
        "requestBody": {"required": True, "content": {_JSON: request, wire.ARROW: _STREAM}},
        "responses": {
            "200": {
                "description": "One prediction for each row, in order",
                "headers": {"x-towpath-lane": header, "x-towpath-release": header},
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Answer"}}, wire.ARROW: _STREAM},
            },
            **_problems(*_REFUSALS, "403", *(("502",) if signature.online is not None else ())),
        },
    }


def _releases() -> dict[str, Any]:
    text = {"type": "string"}
    many = _object({"engine": text, "rows": {"type": "integer", "description": "from how many on it answers"}})
    release = _object(
        {
            "release": text,
            "lane": {"type": ["string", "null"]},
            "loaded": {"type": "boolean"},
            "many": {"anyOf": [many, {"type": "null"}]},
        }
    )
    described = _simple("releases", "The releases that serve here or served before, and can be asked by id")
    described["responses"]["200"]["content"][_JSON]["schema"] = _object(
        {"releases": {"type": "array", "items": release}}
    )
    return described


def _predict_by_id(predict: dict[str, Any], release: str | None) -> dict[str, Any]:
    return predict | {
        "operationId": "predictByRelease",
        "summary": "Predict by the release that is named, in a lane or not",
        "parameters": [_by_id(release)],
        "responses": predict["responses"] | _problems("404"),
    }


def _document_by_id(release: str | None) -> dict[str, Any]:
    described = _simple(
        "openapiByRelease", "The document for callers who ask this release by its id", refusals=("404", "503")
    )
    return described | {"parameters": [_by_id(release)]}


def _by_id(release: str | None) -> dict[str, Any]:
    schema = {"type": "string"} | ({"enum": [release]} if release else {})
    return {"name": "release", "in": "path", "required": True, "schema": schema}


def _simple(operation: str, description: str, *, kind: str = _JSON, refusals: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "object" if kind == _JSON else "string"}
    return {
        "operationId": operation,
        "summary": description,
        "responses": {
            "200": {"description": description, "content": {kind: {"schema": schema}}},
            **_problems(*refusals),
        },
    }


def _problems(*statuses: str) -> dict[str, Any]:
    content = {problems.CONTENT_TYPE: {"schema": _PROBLEM}}
    said = _REFUSALS | _OTHER_REFUSALS
    return {status: {"description": said[status], "content": content} for status in statuses}


def _schemas(signature: Signature, unknown: UnknownColumns) -> dict[str, Any]:
    text = {"type": "string"}
    rows = {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": {"$ref": "#/components/schemas/Row"}}
    entity = {"type": ["string", "null"], "maxLength": MAX_TEXT, "description": "key that decides the lane"}
    error = _object({"row": {"type": ["integer", "null"]}, "field": {"type": ["string", "null"]}, "message": text})
    problem = {"type": text, "title": text, "status": {"type": "integer"}, "detail": text}
    answer = {"release": text, "predictions": {"type": "array", "items": _prediction(signature)}}
    return {
        "Row": _object(
            {column.name: _column(column) for column in signature.inputs} | _keys(signature),
            [column.name for column in signature.inputs if not (column.nullable or column.name in signature.looked_up)],
            others=unknown == "ignore",
        ),
        "Request": _object({"rows": rows, "entity": entity}, ["rows"]),
        "Answer": _object(answer),
        "Problem": _object(problem | {"errors": {"type": "array", "items": error}}, list(problem)),
    }


def _object(properties: dict[str, Any], required: list[str] | None = None, *, others: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": others,
    }


def _column(column: Column) -> dict[str, Any]:
    kind = _TYPES[column.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
    if column.type == "string" and column.categories:
        schema["enum"] = [*column.categories, None] if column.nullable else list(column.categories)
    elif column.type == "string":
        schema["maxLength"] = MAX_TEXT
    elif column.type != "boolean":
        schema["minimum"], schema["maximum"] = bounds(column)
    if column.example is not None:
        schema["examples"] = [column.example]
    return schema


def _keys(signature: Signature) -> dict[str, Any]:
    """Return the fields by which features are looked up and that are no inputs: needed by rows without the features."""
    keys = {} if signature.online is None else signature.online.keys
    described = {"description": "features that the row leaves out are looked up by it"}
    named = {name: described | {"type": [key.type, "null"]} for name, key in keys.items()}
    return {name: each for name, each in named.items() if name not in {column.name for column in signature.inputs}}


def _prediction(signature: Signature) -> dict[str, Any]:
    probability = {"type": ["number", "null"]}
    if signature.task == "regression" or signature.classes is None:
        return _object({"value": probability})
    label = {"type": "string", "enum": list(signature.classes)}
    if signature.task == "binary":
        return _object({"label": label, "probability": probability})
    return _object({"label": label, "probabilities": _object(dict.fromkeys(signature.classes, probability))})
