"""An environment for each peer, in .cache: their needs contradict ours, and one another's."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache" / "serving"


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment that holds `requirements`, made where there is none of just these.

    Raises:
        subprocess.CalledProcessError: it cannot be made; what the installer says is on the terminal.
    """
    known = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{known}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Installing {name} into {folder.relative_to(ROOT)} ...", file=sys.stderr)
        _install(folder, python, requirements)
        (folder / "complete").touch()
    return python


def _install(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *requirements], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
