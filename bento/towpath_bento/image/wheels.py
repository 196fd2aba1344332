"""The wheels of an image, fetched on this machine, whose pip knows indexes and passwords that no image should hold."""

import sys
from pathlib import Path
from typing import Final

from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from towpath_bento.image.locked import Locked
from towpath_bento.image.tools import run
from towpath_gitops.errors import DeliveryError
from towpath_gitops.records.base import digest_file

_PIP: Final = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
_ONLY: Final = ("--no-deps", "--only-binary", ":all:")


def fetch(requirements: Locked, into: Path) -> dict[str, str]:
    """Download one wheel for each pin into the folder `into`; return pin → `sha256:` and the hash of its wheel.

    What a lock file vouches for is checked by pip; of what nobody knows a hash, the first one seen becomes it. The
    wheels are for this machine's own platform and Python.

    Raises:
        DeliveryError: a wheel cannot be had, or is not the one that was vouched for; or there are several of one pin.
    """
    into.mkdir(parents=True)
    lists = {"--require-hashes": requirements.vouched(), "": "".join(f"{pin}\n" for pin in requirements.unvouched)}
    for demand, text in lists.items():
        if text:
            path = into / "list.txt"
            path.write_text(text)
            flags = filter(None, (demand,))
            run([*_PIP, *_ONLY, *flags, "--dest", str(into), "--requirement", str(path)], "Fetching the wheels")
            path.unlink()
    found = {parse_wheel_filename(wheel.name)[:2]: digest_file(wheel) for wheel in sorted(into.glob("*.whl"))}
    asked = {_parsed(pin): pin for pin in requirements.hashes}
    if found.keys() != asked.keys():
        odd = ", ".join(sorted(f"{name} {version}" for name, version in found.keys() ^ asked.keys()))
        raise DeliveryError("The wheels are not those that were asked for", why=f"Missing or too many: {odd}")
    return {pin: found[key] for key, pin in asked.items()}


def exact(pins: dict[str, str]) -> Locked:
    """Return pins that may only be installed from the very wheels that were fetched."""
    return Locked({pin: (digest,) for pin, digest in sorted(pins.items())})


def _parsed(pin: str) -> tuple[NormalizedName, Version]:
    """Return the name and the version of a pin; versions may be spelt in several ways."""
    name, _, version = pin.partition("==")
    return canonicalize_name(name), Version(version)
