"""Real git repositories to run verbs in."""

from pathlib import Path

import pytest
from towpath_ci.drills.stage import scaffold


@pytest.fixture
def repository_root(tmp_path: Path) -> Path:
    """Return the root of a fresh model repository with a bare remote beside it; it has no release."""
    return scaffold(tmp_path).root
