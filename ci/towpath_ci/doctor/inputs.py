"""What the checks look at. Every function answers None, or Absent with a reason, where nothing is; none raises."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final

from towpath_bento.image.tools import BUILDERS, MOVER
from towpath_ci.doctor.base import Absent, Inputs
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError, TowpathError, UncleanRepositoryError
from towpath_gitops.forges.base import BranchRules, Safeguards
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

_RULELESS: Final = "the local forge has no rules of its own: who may push to the remote may change main"

# Runs git in the folder and returns its output without the last newline; None when it fails or is not there.
Git = Callable[..., str | None]


def gather(start: Path) -> Inputs:
    """Return the inputs of all checks for the folder `start`."""
    git = partial(run_git, start)
    root = partial(find_root, git)
    rules = cache(partial(forge_rules, start))
    return {
        "start": lambda: start,
        "python": python_version,
        "installed": libraries,
        "git": lambda: git,
        "programs": programs,
        "asks_for_images": lambda: _asks_for_images(_policy(_model_root(root()))),
        "environ": lambda: dict(os.environ),
        "root": root,
        "model_root": lambda: _model_root(root()),
        "policy": lambda: _policy(_model_root(root())),
        "deployments": lambda: _deployments(_model_root(root())),
        "safeguards": lambda: rules().safeguards,
        "branch_rules": lambda: _branch_rules(rules().safeguards),
        "rules_problem": lambda: rules().problem,
    }


@dataclass(frozen=True)
class Rules:
    """The forge's rules, and what stands in the way of reading them: a sentence, empty when nothing does."""

    safeguards: Safeguards | Absent
    problem: str | Absent


def forge_rules(start: Path) -> Rules:
    """Ask the forge of the repository around `start` for its rules."""
    try:
        with chdir(start):
            workspace = Workspace.here()
        if not workspace.is_published:
            return _no_rules("no policy on the remote's main names a forge yet")
        found = workspace.forge.safeguards()
    except (NotFoundError, UncleanRepositoryError):
        return _no_rules("there is no model repository here")
    except TowpathError as error:
        return Rules(Absent("the forge's rules could not be read"), " ".join(str(error).split()))
    return _no_rules(_RULELESS) if found is None else Rules(found, "")


def _no_rules(why: str) -> Rules:
    return Rules(Absent(why), Absent(why))


def _branch_rules(safeguards: Safeguards | Absent) -> BranchRules | Absent:
    return safeguards if isinstance(safeguards, Absent) else safeguards.branch


def python_version() -> tuple[int, ...]:
    """Return the version of the Python that runs this."""
    return tuple(sys.version_info[:3])


def libraries() -> frozenset[str]:
    """Return the import names, of those that any job needs, that are installed; nothing is imported."""
    return frozenset(name for name in TRAINING | SERVING | REGISTRY if find_spec(name) is not None)


def programs() -> frozenset[str]:
    """Return the programs, of those that build and move images, that are on the PATH."""
    return frozenset(name for name in (*BUILDERS, MOVER) if which(name) is not None)


def _asks_for_images(policy: Policy | None) -> bool:
    return policy is not None and any(each.image == "required" for each in policy.environments)


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
