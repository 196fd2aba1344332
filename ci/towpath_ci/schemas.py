"""The JSON schemas of every file that people or programs write, derived from the records themselves."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from towpath_gitops.files import write_atomically

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# File name → record. The names are part of the contract: `# yaml-language-server: $schema=…` points at them.
SCHEMAS: Final[dict[str, str]] = {
    "model": "towpath_flows.spec:ModelSpec",
    "policy": "towpath_gitops.records.policy:Policy",
    "deployment": "towpath_gitops.records.deployment:Deployment",
    "release": "towpath_gitops.records.release:Release",
    "decision": "towpath_gitops.promotion.decision:Decision",
    "image": "towpath_gitops.records.image:ImageRecord",
    "evidence": "towpath_gitops.records.evidence:Evidence",
    "load": "towpath_gitops.records.load:LoadFigures",
    "lineage": "towpath_gitops.records.lineage:Lineage",
    "signature": "towpath_gitops.records.signature:Signature",
    "golden": "towpath_gitops.records.golden:Golden",
    "pointer": "towpath_gitops.records.pointer:Pointer",
    "worker": "towpath_gitops.records.pointer:WorkerState",
    "incident": "towpath_gitops.delivery.incident:Incident",
    "ledger-entry": "towpath_gitops.delivery.ledger:Entry",
    "ledger-export": "towpath_gitops.delivery.export:Export",
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON schema (2020-12) called `name` in `SCHEMAS`, with `$schema` and `$id`."""
    module, attribute = SCHEMAS[name].split(":")
    record: type[BaseModel] = getattr(import_module(module), attribute)
    body = record.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, "$id": f"urn:towpath:v1:{name}", **body}


def render(name: str) -> str:
    """Return the text of a schema's file."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema as `folder`/<name>.json and return the paths; files that are right already are left alone.

    Raises:
        OSError: the folder cannot be written.
    """
    return [_written(folder / f"{name}.json", render(name)) for name in SCHEMAS]


def _written(path: Path, text: str) -> Path:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
    return path
