"""Real git repositories to run verbs in, and a stage on which a small release was trained."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath_ci.drills.stage import Stage, scaffold


@pytest.fixture
def repository_root(tmp_path: Path) -> Path:
    """Return the root of a fresh model repository with a bare remote beside it; it has no release."""
    return scaffold(tmp_path).root


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a stage whose good release is trained and registered; nothing serves."""
    kept = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    stage = Stage(tmp_path_factory.mktemp("stage"))
    assert stage.good.semver == "1.0.0"
    yield stage
    stage.strike()
    os.environ.clear()
    os.environ.update(kept)
