"""Bytes that are not those that were approved."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.errors import DigestMismatchError
from towpath_gitops.records.artifact import GRAPH


class AlteredArtifact(Drill):
    """An artifact in which one bit differs is not opened."""

    injected = "one bit of the model in the registry's store is flipped"
    gate = DigestMismatchError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Fetch the artifact as it was registered."""
        return _fetched(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Fetch it with one bit flipped, and mend it afterwards."""
        path = _stored(stage)
        _flip(path)
        try:
            return _fetched(stage)
        finally:
            _flip(path)


def _fetched(stage: Stage) -> Sequence[Refusal]:
    with TemporaryDirectory(prefix="towpath-drill-") as store:  # an empty store: nothing was fetched before
        stage.registry.fetch(stage.good, Path(store))
    return []


def _stored(stage: Stage) -> Path:
    """Return where the registry keeps the graph of the good release."""
    version = stage.registry.client.get_model_version(stage.good.model, str(stage.good.version))
    (path,) = layout.mlartifacts(stage.root).rglob(f"{version.run_id}/**/{GRAPH}")
    return path


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
