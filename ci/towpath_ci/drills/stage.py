"""Where drills take place: a model repository of their own with a bare remote, in a folder that is thrown away."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from towpath_ci.drills.base import Refusal
from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.forges.base import Pull
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import Review
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

FIXTURE: Final = Path(__file__).parent / "model"
AUTHOR: Final = ("Ada", "ada@example.org")
OWNER: Final = ("Grace", "grace@example.org")  # in the fixture's CODEOWNERS
MODEL: Final = "canal"


def scaffold(folder: Path, fixture: Path = FIXTURE) -> Repository:
    """Make the drills' model a committed and pushed repository `folder`/canal, its remote `folder`/forge.git."""
    root = folder / "canal"
    shutil.copytree(fixture, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".gitignore").write_text("/.towpath/\n/data/\n__pycache__/\n", encoding="utf-8")
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "forge.git")
    _git(root, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", AUTHOR[0]), ("user.email", AUTHOR[1]), ("commit.gpgsign", "false")):
        _git(root, "config", key, value)
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message=Begin")
    _git(root, "remote", "add", "origin", str(folder / "forge.git"))
    _git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return Repository.discover(root).acting_as(*AUTHOR)


def _git(folder: Path, *arguments: str) -> None:
    """Run git without the user's own settings and identity: a drill says the same on every machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, env=kept | alone, check=True, capture_output=True)
