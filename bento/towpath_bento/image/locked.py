"""Requirements with the hashes that a lock file vouches for, and those of which nobody knows one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

REQUIREMENTS: Final = "requirements.txt"  # beside the service, and what an image is built from
_ALGORITHM: Final = "sha256:"


@dataclass(frozen=True)
class Locked:
    """Pins `name==version` with the hashes of the files that may be installed for each; none where nobody knows one."""

    hashes: Mapping[str, tuple[str, ...]]

    @property
    def unvouched(self) -> tuple[str, ...]:
        """The pins of which no hash is known."""
        return tuple(pin for pin, hashes in self.hashes.items() if not hashes)

    def vouched(self) -> str:
        """Return the pins with known hashes as pip reads them; with nothing else beside, it checks every one."""
        return "".join(_line(pin, hashes) for pin, hashes in self.hashes.items() if hashes)

    def text(self) -> str:
        """Return all pins, those without a hash last and said to be so."""
        bare = self.unvouched
        said = f"# No lock file knows a hash of these {len(bare)}:\n" + "".join(f"{pin}\n" for pin in bare)
        return self.vouched() + (said if bare else "")


def locked(pins: Iterable[str], lock: Path | None) -> Locked:
    """Return `pins` with the hashes that a lock file has for exactly these versions.

    Args:
        pins: `name==version`, canonical names.
        lock: a file as pip's `--require-hashes` reads it (`uv pip compile --generate-hashes`, pip-tools); None where
            there is none. Only sha256 counts.
    """
    known = hashes_in(lock) if lock else {}
    return Locked({pin: known.get(pin, ()) for pin in pins})


def hashes_in(lock: Path) -> dict[str, tuple[str, ...]]:
    """Return `name==version` → its hashes in a lock file."""
    from pip_requirements_parser import RequirementsFile  # noqa: PLC0415 (only needed where something is packaged)

    found: dict[str, tuple[str, ...]] = {}
    for requirement in RequirementsFile.from_file(str(lock)).requirements:
        version = requirement.get_pinned_version
        if requirement.name and version:
            hashes = (option.removeprefix("--hash=") for option in requirement.hash_options)
            kept = tuple(sorted(item for item in hashes if item.startswith(_ALGORITHM)))
            found[f"{canonicalize_name(requirement.name)}=={version}"] = kept
    return found


def _line(pin: str, hashes: Iterable[str]) -> str:
    return " \\\n    ".join((pin, *(f"--hash={item}" for item in hashes))) + "\n"
