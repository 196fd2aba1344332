"""`python -m towpath_bento.image.installed BILL`: is exactly that installed here which the bill of materials lists?

Run inside an image while it is built, by the image's own Python, so it needs nothing but that.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

COPIED: Final = "towpath:copied"


def differences(bill: Mapping[str, Any], installed: Mapping[str, str]) -> Iterator[str]:
    """Yield how what is installed (canonical name → version) differs from the libraries of a CycloneDX document."""
    listed = {item["name"]: item.get("version", "") for item in bill.get("components", ()) if _is_installed(item)}
    for name in sorted(listed.keys() | installed.keys()):
        if name not in installed:
            yield f"{name} {listed[name]} is listed, but not installed"
        elif name not in listed:
            yield f"{name} {installed[name]} is installed, but not listed"
        elif listed[name] != installed[name]:
            yield f"{name} is listed as {listed[name]}, but installed as {installed[name]}"


def installed_here() -> dict[str, str]:
    """Return canonical name → version of every distribution that this Python finds."""
    return {_canonical(found.metadata["Name"]): found.version for found in metadata.distributions()}


def _is_installed(component: Mapping[str, Any]) -> bool:
    properties = {item["name"] for item in component.get("properties", ())}
    return component.get("type") == "library" and COPIED not in properties


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # the specification's own way; nothing else is needed of it here


def main() -> None:
    """Say how the two differ and fail, or succeed without a word."""
    bill = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = list(differences(bill, installed_here()))
    if found:
        raise SystemExit("The bill of materials is not true:\n" + "\n".join(f"  {line}" for line in found))


if __name__ == "__main__":
    main()
