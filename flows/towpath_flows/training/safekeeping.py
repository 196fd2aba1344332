"""The fitted transformer in skops' format: no pickle, and the same transformer gives the same bytes."""

import io
import json
import re
import zipfile
from typing import Any, Final

from towpath_bento.engines.native import TRUSTED

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


def to_skops(pipeline: Any) -> bytes:  # noqa: ANN401 (scikit-learn is not typed)
    """Return the bytes of `pipeline`; skops names parts by their address in memory, here they are counted.

    What skops cannot keep raises an exception of its own.
    """
    import skops.io  # noqa: PLC0415 (heavy)

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = files.pop("schema.json").decode()
    order = {found: str(number) for number, found in enumerate(dict.fromkeys(_addresses(schema)))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        renamed = {_renumbered(name, order): content for name, content in files.items()}
        renamed["schema.json"] = _renumbered(schema, order).encode()
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name])
    return buffer.getvalue()


def foreign_types(content: bytes) -> list[str]:
    """Return the types in a kept pipeline that the native engine will refuse to open."""
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
