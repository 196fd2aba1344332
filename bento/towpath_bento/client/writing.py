"""A client as text: the one in `calling`, with the types of one model in the place of its general ones."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from towpath_gitops.records.signature import Column, Signature

_TYPES: Final = {"number": "float", "integer": "int", "boolean": "bool", "string": "str"}
_NUMBER: Final = "float | None"  # JSON has no NaN, if a model should ever answer so
_TYPING: Final = ("Any", "Literal", "NotRequired", "TypedDict")
_LISTED: Final = 50  # categories; a longer list is text to readers, and the service knows it


def client_text(model: str, signature: Signature, release: str) -> str:
    """Return the source of a client of `model`, whose callers send and get what `signature` says; `release` has it."""
    text = files("towpath_bento.client").joinpath("calling.py").read_text(encoding="utf-8")
    head, _, rest = text.partition("# --- the model's own")
    _, _, asking = rest.partition("# --- asking")
    types = _types(signature)
    typing = ", ".join(name for name in _TYPING if name in types + asking)
    imports = head.partition("\n")[2].replace("Mapping, Sequence", "Sequence").replace("Any, TypedDict", typing)
    title = f"Ask the model {model}, which predicts {_plain(signature.target)}."
    told = f"Written by `towpath client` for release {release},\nwhose schema is {signature.digest}."
    return f'"""{title}\n\n{told}\nWrite it again when the schema changes.\n"""\n{imports}{types}\n# --- asking{asking}'


def _types(signature: Signature) -> str:
    row = _typed_dict("Row", dict(_row(signature)))
    if signature.classes is None:
        return row + _typed_dict("Prediction", {"value": _NUMBER})
    label = _literal(signature.classes)
    if signature.task == "binary":
        return row + _typed_dict("Prediction", {"label": label, "probability": _NUMBER})
    each = _typed_dict("Probabilities", dict.fromkeys(signature.classes, _NUMBER))
    return row + each + _typed_dict("Prediction", {"label": label, "probabilities": "Probabilities"})


def _row(signature: Signature) -> Iterator[tuple[str, str]]:
    """Yield what a row holds: the inputs, and the keys by which those that it leaves out are looked up."""
    inputs = {column.name: column for column in signature.inputs}
    for name, column in (inputs | signature.sent).items():
        kind = _kind(inputs.get(name, column))
        free = column.nullable or name in signature.looked_up or name not in inputs
        yield name, f"NotRequired[{kind} | None]" if free else kind


def _kind(column: Column) -> str:
    return _literal(column.categories) if column.categories else _TYPES[column.type]


def _literal(values: tuple[str, ...]) -> str:
    return f"Literal[{', '.join(map(_quoted, values))}]" if len(values) <= _LISTED else "str"


def _typed_dict(name: str, fields: Mapping[str, str]) -> str:
    """Return a TypedDict in the form that takes names which are no identifiers."""
    lines = "".join(f"        {_quoted(field)}: {kind},\n" for field, kind in fields.items())
    return f'{name} = TypedDict(\n    "{name}",\n    {{\n{lines}    }},\n)\n'


def _quoted(text: str) -> str:
    """Return a text as a literal of Python that no character of it can end, in the quotes that ruff and black use."""
    shown = repr(text)
    return shown if '"' in text else f'"{shown[1:-1].replace(chr(92) + chr(39), chr(39))}"'


def _plain(text: str) -> str:
    """Return a text for a docstring, which it cannot end."""
    return repr(text).replace('"', "'")
