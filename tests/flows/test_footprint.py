"""Asking what releases cost, beside other work."""

import shutil
from pathlib import Path

import pytest

from towpath_flows.evaluation.footprint import weighing
from towpath_flows.training import Exported
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.artifact import GOLDEN


def test_challenger_and_champion_are_told_apart(exported: Exported, tmp_path: Path) -> None:
    """The larger artifact is the champion's; without a champion there is one footprint."""
    champion = shutil.copytree(exported.folder, tmp_path / "champion")
    (champion / "more").write_bytes(b"x" * 5000)
    with weighing(exported.folder, champion) as weights:
        found = weights.read()
    assert found.champion is not None
    assert found.champion.artifact_bytes == found.challenger.artifact_bytes + 5000
    with weighing(exported.folder, None) as weights:
        assert weights.read().champion is None


def test_a_model_that_cannot_be_served_is_an_error_of_training(exported: Exported, tmp_path: Path) -> None:
    """It says why; a champion that cannot be served is only left out."""
    broken = shutil.copytree(exported.folder, tmp_path / "broken")
    (broken / GOLDEN).unlink()
    with weighing(broken, None) as weights, pytest.raises(TrainingError, match="cannot be served") as caught:
        weights.read()
    assert GOLDEN in caught.value.why
    with weighing(exported.folder, broken) as weights:
        assert weights.read().champion is None
