"""The programs that build and move images: which of them are installed, and how one is run."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from towpath_gitops.errors import DeliveryError, MissingDependencyError

BUILDERS: Final = ("buildah", "podman", "docker")  # in the order in which they are looked for
MOVER: Final = "skopeo"
_LAST_LINES: Final = 15  # of what a program printed before it failed


def builder(wanted: str | None = None) -> str:
    """Return the builder to use: the one that is wanted, or the first that is installed.

    Raises:
        MissingDependencyError: it, or every one of them, is not installed.
    """
    names = (wanted,) if wanted else BUILDERS
    found = next(filter(shutil.which, names), None)
    if found is None:
        raise MissingDependencyError(
            f"{' , '.join(names).replace(' ,', ',')} cannot be run",
            why="An image is built by buildah, podman or docker (with buildx); none that may be used is on the PATH.",
            hint="sudo apt-get install buildah   (or install Docker)",
        )
    return found


def run(
    command: Sequence[str], doing: str, *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> bytes:
    """Run a program to its end and return what it printed.

    Raises:
        MissingDependencyError: it is not installed.
        DeliveryError: it fails; the last lines that it printed are the reason.
    """
    if shutil.which(command[0]) is None:
        raise missing_tool(doing, command[0])
    done = subprocess.run(command, cwd=cwd, env=os.environ | dict(environment or {}), capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise DeliveryError(f"{doing} failed", why="\n".join(said[-_LAST_LINES:]))
    return done.stdout


def missing_tool(doing: str, name: str) -> MissingDependencyError:
    """Return the failure of something that needs a program which is not installed."""
    return MissingDependencyError(
        f"{doing} needs {name}, which is not on the PATH", hint=f"sudo apt-get install {name}"
    )
