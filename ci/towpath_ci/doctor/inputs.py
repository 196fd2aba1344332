"""What the checks look at. Every function answers None where there is nothing to look at; none raises."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from towpath_ci.doctor.base import Inputs
from towpath_gitops import layout
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy

GIT_TIMEOUT_S: Final = 20

# Import names by the job that needs them.
TRAINING: Final = frozenset(
    {"lightgbm", "mlflow", "onnx", "onnxmltools", "onnxruntime", "optuna", "pandas", "pandera", "prefect"}
    | {"skl2onnx", "sklearn", "skops", "xgboost"}
)
SERVING: Final = frozenset({"bentoml", "msgspec", "numpy", "onnxruntime", "prometheus_client"})
REGISTRY: Final = frozenset({"mlflow", "sqlalchemy"})

# Runs git in the folder and returns its output without the last newline; None when it fails or is not there.
Git = Callable[..., str | None]


def gather(start: Path) -> Inputs:
    """Return the inputs of all checks for the folder `start`."""
    git = partial(run_git, start)
    root = partial(find_root, git)
    return {
        "start": lambda: start,
        "python": python_version,
        "installed": libraries,
        "git": lambda: git,
        "environ": lambda: dict(os.environ),
        "root": root,
        "model_root": lambda: _model_root(root()),
        "policy": lambda: _policy(_model_root(root())),
        "deployments": lambda: _deployments(_model_root(root())),
    }


def python_version() -> tuple[int, ...]:
    """Return the version of the Python that runs this."""
    return tuple(sys.version_info[:3])


def libraries() -> frozenset[str]:
    """Return the import names, of those that any job needs, that are installed; nothing is imported."""
    return frozenset(name for name in TRAINING | SERVING | REGISTRY if find_spec(name) is not None)


def run_git(folder: Path, *arguments: str) -> str | None:
    """Run git in `folder`, never asking for a password."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.removesuffix("\n")


def find_root(git: Git) -> Path | None:
    """Return the top folder of the git repository, or None outside of one."""
    found = git("rev-parse", "--show-toplevel")
    return Path(found) if found else None


def _model_root(root: Path | None) -> Path | None:
    return root if root and (root / layout.MODEL).is_file() else None


def _policy(root: Path | None) -> Policy | None:
    path = root / layout.POLICY if root else None
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), Policy, source=layout.POLICY) if path else None
    except (TowpathError, OSError, UnicodeDecodeError):
        return None  # the check of the policy's file says so


def _deployments(root: Path | None) -> tuple[Deployment, ...] | None:
    if root is None:
        return None
    found = (_deployment(path) for path in sorted(root.glob(f"{layout.ENVIRONMENTS}/*/*.yaml")))
    return tuple(deployment for deployment in found if deployment)


def _deployment(path: Path) -> Deployment | None:
    try:
        return parse_deployment(path.read_text(encoding="utf-8"), source=str(path))
    except (TowpathError, OSError, UnicodeDecodeError):
        return None  # the check of the environments' files says so
