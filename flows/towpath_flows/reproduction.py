"""Make a registered release again from its commit, rows and recipe, and say whether it comes out the same."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towpath_flows.rebuilding import Outcome, Request
from towpath_flows.recipe import Recipe, read_recipe
from towpath_flows.recomparison import window_of
from towpath_gitops import layout
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import NotFoundError, TrainingError
from towpath_gitops.files import scratch
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

_NOT_LINKED: Final = {".git", ".towpath", ".venv", "__pycache__", "src"}  # code comes from the commit alone
_LAST_WORDS: Final = 2000  # characters of what a child said before it gave up


@dataclass(frozen=True)
class Reproduction:
    """What was made again, by which recipe, and what came of it."""

    release: Release
    recipe: Recipe
    outcome: Outcome


def reproduce(root: Path, release: Release, python: Path | None = None) -> Reproduction:
    """Rebuild `release` and compare it with what was registered.

    The code is that of the release's commit, in a folder of its own; the rows are read again from today's data and
    must have the digest of then; parameters, rounds, seed and threads come from the recipe: nothing is searched again.
    `python` is the interpreter of the environment to do it in, by default this one.

    Raises:
        NotFoundError: the clone lacks the commit, or no recipe was kept.
        TrainingError: the model could not be made; the reason is told.
        DigestMismatchError, UnavailableError: as the registry says.
    """
    registry = Registry(layout.tracking_uri(root))
    recipe = read_recipe(registry, release)
    since, until = window_of(registry, release)
    artifact = fetch_reviewed(registry, Repository.discover(root), release)
    with scratch(layout.state(root, "reproduce"), "checkout-") as folder:
        checkout = folder / "code"
        _check_out(root, release, checkout)
        request = Request(
            checkout=checkout,
            artifact=artifact,
            into=folder / "model",
            since=since,
            until=until,
            data=release.data,
            recipe=recipe,
        )
        return Reproduction(release, recipe, _rebuilt(request, folder, python or Path(sys.executable)))


def _check_out(root: Path, release: Release, into: Path) -> None:
    repository = Repository.discover(root)
    if repository.resolve(release.code) is None:
        raise NotFoundError(
            f"This clone has no commit {release.code[:12]}",
            why=f"{release} was trained on it.",
            hint="Fetch the whole history: git fetch --unshallow, or the branch that it was trained on.",
        )
    repository.export(release.code, "", into)
    _link(root, into)


def _link(live: Path, checkout: Path) -> None:
    """Let the checkout see what git does not keep, above all the data; what it has itself stays."""
    for found in live.iterdir():
        own = checkout / found.name
        if found.name in _NOT_LINKED:
            continue
        if not own.exists():
            own.symlink_to(found.absolute())
        elif own.is_dir() and found.is_dir():
            _link(found, own)


def _rebuilt(request: Request, folder: Path, python: Path) -> Outcome:
    asked, told = folder / "request.json", folder / "outcome.json"
    asked.write_text(request.model_dump_json(), encoding="utf-8")
    command = [str(python), "-m", "towpath_flows.rebuilding", str(asked), str(told)]
    result = subprocess.run(command, cwd=request.checkout, capture_output=True, text=True, check=False)
    if result.returncode or not told.is_file():
        raise TrainingError(
            "The release could not be made again",
            why=result.stderr.strip()[-_LAST_WORDS:] or f"{python} ended with {result.returncode}.",
            hint="Is that the environment of the release? `towpath reproduce RELEASE --requirements` lists it.",
        )
    return parse_json(told.read_bytes(), Outcome, source=told.name)
