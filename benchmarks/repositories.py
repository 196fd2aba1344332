"""Model repositories to measure in: `model.yaml` changed for the measurement, and a first commit."""

import re
from collections.abc import Iterable
from pathlib import Path

from towpath_ci.drills.stage import git


def change(root: Path, changes: Iterable[tuple[str, str]]) -> None:
    """Replace each pattern in `model.yaml`.

    Raises:
        ValueError: a pattern is not there exactly once: another thing would be measured than the benchmark says.
    """
    spec = root / "model.yaml"
    text = spec.read_text(encoding="utf-8")
    for pattern, words in changes:
        text, found = re.subn(pattern, words, text)
        if found != 1:
            raise ValueError(pattern)
    spec.write_text(text, encoding="utf-8")


def begin(root: Path) -> None:
    """Make a folder a git repository of Ada's, with all that is in it as the first commit."""
    git(root, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(root, "config", key, value)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Begin")
