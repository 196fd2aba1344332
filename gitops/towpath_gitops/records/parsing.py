"""Text that people wrote becomes records; whatever is wrong with it is said with file, line and expectation."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from io import StringIO
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent, ScalarEvent

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.plain_yaml import read_plain

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
_UNICODE_BREAKS = "\x85\u2028\u2029"

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(text: str, *, source: str) -> Any:  # noqa: ANN401 (YAML is any of dict, list and scalars)
    """Return the one document in `text`, with line numbers kept (ruamel's round-trip types).

    Anchors, aliases, tags, duplicate keys, more than 256 kB and more than 20 levels are refused before any object is
    built, so that a YAML bomb costs nothing.

    Raises:
        InvalidFileError: naming `source` and the line.
    """
    if len(text.encode()) > MAX_BYTES:
        raise InvalidFileError(
            f"{source} is larger than {MAX_BYTES // 1024} kB", hint="Split it, or remove what is not configuration."
        )
    try:
        _refuse_bombs(text, source)
        return round_trip_yaml().load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidFileError(
            f"{source}, line {line}: not valid YAML", why=str(error.problem or error.context)
        ) from error
    except (YAMLError, LookupError, ValueError) as error:  # LookupError: the library trips over `-_` as a number
        raise InvalidFileError(f"{source}: not valid YAML", why=str(error)) from error


def round_trip_yaml() -> YAML:
    """Return the YAML reader and writer that every file goes through: comments and order survive."""
    yaml = YAML(typ="rt")
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _represent_null)
    yaml.representer.add_representer(str, _represent_text)
    return yaml


def _represent_null(representer: Any, _: None) -> Any:  # noqa: ANN401 (ruamel's own types are not annotated)
    """Write `null`, not nothing: an empty value looks like a forgotten one."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _represent_text(representer: Any, text: str) -> Any:  # noqa: ANN401 (ruamel's own types are not annotated)
    """Write line breaks of Unicode as escapes: YAML 1.1 readers would fold them into spaces."""
    style = '"' if any(mark in text for mark in _UNICODE_BREAKS) else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def dump_yaml(document: object) -> str:
    """Return a document as YAML text."""
    stream = StringIO()
    round_trip_yaml().dump(document, stream)
    return stream.getvalue()


def parse_yaml(text: str, model: type[Model], *, source: str) -> Model:
    """Return the record that the YAML `text` of the file `source` describes.

    Raises:
        InvalidFileError: naming every wrong field with its line, what was expected, and a near name for unknown keys.
    """
    record: Model = _parsed(text, model, source)  # type: ignore[assignment]  # an instance of `model`, as cached by it
    return record


# Records are frozen, so that the same text may give the same record; reading YAML round trip takes milliseconds.
@lru_cache(maxsize=128)
def _parsed(text: str, model: type[BaseModel], source: str) -> BaseModel:
    plain = read_plain(text) if len(text) <= MAX_BYTES else None
    if plain is not None:
        with suppress(ValidationError):  # what is wrong, and in which line, the other reader says
            return model.model_validate(plain)
    document = load_yaml(text, source=source)
    if not isinstance(document, Mapping):
        raise InvalidFileError(f"{source} is empty or not a mapping", why=f"Expected the fields of {model.__name__}.")
    return _validated(document, model, source)


def parse_json(text: str | bytes, model: type[Model], *, source: str) -> Model:
    """Return the record that the JSON `text` of the file `source` describes.

    Raises:
        InvalidFileError: naming every wrong field and what was expected.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidFileError(f"{source}: not valid JSON", why=str(error)) from error
    return _validated(document, model, source)


def _validated(document: object, model: type[Model], source: str) -> Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        known = sorted(_property_names(model.model_json_schema()))
        places = [problem["loc"] for problem in error.errors()]
        # A list whose items are wrong is also reported as too short: only the deepest place helps.
        deepest = [problem for problem in error.errors() if not any(_holds(problem["loc"], place) for place in places)]
        problems = [_describe(document, problem, known, source) for problem in deepest]
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise InvalidFileError(f"{source} has {count}:", why="\n".join(problems)) from error


def _holds(outer: Sequence[str | int], inner: Sequence[str | int]) -> bool:
    return len(outer) < len(inner) and tuple(inner[: len(outer)]) == tuple(outer)


def _describe(document: object, problem: Mapping[str, Any], known: Sequence[str], source: str) -> str:
    location: tuple[str | int, ...] = tuple(problem["loc"])
    line = _line_of(document, location)
    place = f"{source}, line {line}" if line else source
    field = ".".join(str(part) for part in location) or "the document"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        message = "unknown key" + (f"; did you mean “{near[0]}”?" if near else "")
    elif problem["type"] == "missing":
        message = "is missing"
    elif not isinstance(problem["input"], (Mapping, list)):
        message = f"{message} (found {problem['input']!r})"
    return f"  {place}: {field}: {message}"


def _line_of(document: object, location: Sequence[str | int]) -> int | None:
    """Return the line, from 1, of the deepest part of `location` that the document has."""
    line: int | None = None
    for part in location:
        marks = getattr(document, "lc", None)
        if marks is None:
            break
        try:
            line = marks.data[part][0] + 1
            document = document[part]  # type: ignore[index]  # a container: it has line marks
        except (KeyError, IndexError, TypeError):
            break
    return line


def _property_names(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from _property_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _property_names(value)


def _refuse_bombs(text: str, source: str) -> None:
    depth = 0
    for event in round_trip_yaml().parse(StringIO(text)):
        line = event.start_mark.line + 1
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidFileError(f"{source}, line {line}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            raise InvalidFileError(
                f"{source}, line {line}: anchors and aliases are not allowed", hint="Write the value out."
            )
        if isinstance(event, (ScalarEvent, CollectionStartEvent)) and event.tag is not None:
            raise InvalidFileError(f"{source}, line {line}: tags are not allowed", hint="Write a plain value.")
