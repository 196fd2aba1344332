"""The fitted transformer in skops' format: no pickle, and the same transformer gives the same bytes."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from towpath_bento.engines.native import TRUSTED
from towpath_bento.engines.owners import Code
from towpath_flows.training.carrying import carry, own_modules

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


@dataclass(frozen=True)
class Kept:
    """The bytes of a transformer, and the owner's code that they need; or `why` it cannot be kept.

    `types` are the owner's classes and functions in it, by the names that they have in the repository.
    """

    content: bytes = b""
    code: Code | None = None
    types: tuple[str, ...] = ()
    why: str | None = None


def keep(pipeline: Any, src: Path | None = None) -> Kept:  # noqa: ANN401 (scikit-learn is not typed)
    """Return `pipeline` in skops' format, if the native engine could open it.

    What the owner defined below the folder `src` may be part of it: its modules come along, and the pipeline names
    them as `Code.package` does, so that it fits no other version of them. Without `src`, nothing of the owner may.
    """
    try:
        content = to_skops(pipeline)
        foreign = foreign_types(content)
        own = own_modules(foreign, src) if src else {}
        if len(own) < len(foreign):
            others = [name for name in foreign if name not in own]
            return Kept(why=f"the pipeline holds types that are not trusted: {', '.join(others)}")
        if not own or src is None:
            return Kept(content)
        return _with_code(pipeline, own, carry(own.values(), src))
    except Exception as error:  # noqa: BLE001 (an owner's transformer may refuse to be kept in any way)
        return Kept(why=f"the pipeline cannot be kept: {type(error).__name__}: {error}")


def _with_code(pipeline: Any, own: Mapping[str, str], code: Code) -> Kept:  # noqa: ANN401 (as above)
    hidden = [name for name in own if f"{code.package}.{name}" not in code.types]
    if hidden:
        return Kept(why=f"{', '.join(hidden)}: no class or function of that name stands at the top of its module")
    moved = {module: f"{code.package}.{module}" for module in own.values()}
    return Kept(to_skops(pipeline, moved), code, tuple(sorted(own)))


def to_skops(pipeline: Any, moved: Mapping[str, str] | None = None) -> bytes:  # noqa: ANN401 (as above)
    """Return the bytes of `pipeline`; skops names parts by their address in memory, here they are counted.

    `moved` says under which names the modules of some types will be found. What skops cannot keep raises an exception
    of its own.
    """
    import skops.io  # noqa: PLC0415 (heavy)

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = files.pop("schema.json").decode()
    order = {found: str(number) for number, found in enumerate(dict.fromkeys(_addresses(schema)))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        renamed = {_renumbered(name, order): content for name, content in files.items()}
        renamed["schema.json"] = _moved(_renumbered(schema, order), moved or {}).encode()
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name])
    return buffer.getvalue()


def foreign_types(content: bytes) -> list[str]:
    """Return the types in a kept pipeline that the native engine will refuse to open without an owner's code."""
    import skops.io  # noqa: PLC0415 (heavy)

    return sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))


def _addresses(schema: str) -> list[str]:
    """Return every `__id__` in the order of the document."""
    found: list[str] = []

    def look(node: dict[str, Any]) -> dict[str, Any]:
        found.extend(str(node[key]) for key in ("__id__",) if key in node)
        return node

    json.loads(schema, object_hook=look)
    return found


def _renumbered(text: str, order: dict[str, str]) -> str:
    return re.sub(r"\d{9,}", lambda number: order.get(number[0], number[0]), text)


def _moved(schema: str, moved: Mapping[str, str]) -> str:
    """Return the document with other names for some modules; without any it keeps its bytes."""
    if not moved:
        return schema

    def rename(node: dict[str, Any]) -> dict[str, Any]:
        module = moved.get(str(node.get("__module__")))
        return {**node, "__module__": module} if module else node

    return json.dumps(json.loads(schema, object_hook=rename))
