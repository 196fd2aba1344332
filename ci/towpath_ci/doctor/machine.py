"""Checks of this machine."""

import re
import shutil
from pathlib import Path
from typing import Final

from towpath_bento.image.tools import BUILDERS, MOVER
from towpath_ci.doctor.base import Absent, Check, Finding, State
from towpath_ci.doctor.inputs import REGISTRY, SERVING, TRAINING, Git

OLDEST_GIT: Final = (2, 31)
OLDEST_PYTHON: Final = (3, 11)
ROOM_GB: Final = 2.0


class GitVersion(Check):
    """git 2.31 or newer is installed."""

    mend = "sudo apt-get install git   (macOS: brew install git)"

    @staticmethod
    def check(git: Git) -> Finding:
        """Pull requests, promotions and the ledger are git objects; nothing works without it."""
        found = re.search(r"(\d+)\.(\d+)", git("--version") or "")
        if not found:
            return "git was not found on the PATH"
        version = (int(found[1]), int(found[2]))
        return version >= OLDEST_GIT or f"git is {version[0]}.{version[1]}"


class PythonVersion(Check):
    """Python 3.11 or newer runs."""

    mend = "uv python install 3.12"

    @staticmethod
    def check(python: tuple[int, ...]) -> Finding:
        """Towpath is tested on 3.11, 3.12 and 3.13."""
        return python[:2] >= OLDEST_PYTHON or f"Python is {python[0]}.{python[1]}"


class DiskSpace(Check):
    """There are 2 GB of free disk space."""

    gravity = State.WARN
    mend = "towpath down && rm -rf .towpath/prefect .towpath/store"

    @staticmethod
    def check(start: Path) -> Finding:
        """Training data, artifacts, Prefect's results and MLflow's store share this disk."""
        free_gb = shutil.disk_usage(start).free / 1e9
        return free_gb >= ROOM_GB or f"{free_gb:.1f} GB are free"


class TrainingLibraries(Check):
    """`train`, `compare` and `monitor` have their libraries."""

    gravity = State.WARN
    mend = "pip install 'towpath[flows]'"

    @staticmethod
    def check(installed: frozenset[str]) -> Finding:
        """Needed where models are trained; a machine that only serves or reviews does well without them."""
        return _lacks(TRAINING - installed)


class ServingLibraries(Check):
    """`reconcile` and `package` have their libraries."""

    gravity = State.WARN
    mend = "pip install 'towpath[bento]'"

    @staticmethod
    def check(installed: frozenset[str]) -> Finding:
        """Needed where a release is served or packaged."""
        return _lacks(SERVING - installed)


class RegistryLibrary(Check):
    """`releases`, `promote` and `reconcile` can read the model registry."""

    mend = "pip install 'towpath[registry]'"

    @staticmethod
    def check(installed: frozenset[str]) -> Finding:
        """Releases live in MLflow's model registry; mlflow-skinny with SQLAlchemy is enough to read it."""
        return _lacks(REGISTRY - installed)


class ContainerTools(Check):
    """Images can be built and moved here."""

    gravity = State.WARN
    mend = "sudo apt-get install buildah skopeo"

    @staticmethod
    def check(programs: frozenset[str], asks_for_images: bool) -> Finding:  # noqa: FBT001 (an input, given by name)
        """`towpath image` builds with buildah, podman or docker, and moves with skopeo."""
        builders = () if programs & set(BUILDERS) else (f"none of {', '.join(BUILDERS)}",)
        missing = (*builders, *({MOVER} - programs))
        if not missing:
            return True
        told = f"not on the PATH: {'; '.join(missing)}"
        return told if asks_for_images else Absent(f"{told}. No environment of the policy asks for an image")


def _lacks(missing: frozenset[str]) -> Finding:
    return f"not installed: {', '.join(sorted(missing))}" if missing else True
