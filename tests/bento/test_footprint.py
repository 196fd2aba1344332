"""What releases cost, measured side by side by a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towpath_gitops.records.artifact import CARD_HTML
from towpath_gitops.records.figures import Footprint


def _ask(*folders: Path) -> tuple[list[Footprint | None], str]:
    command = [sys.executable, "-m", "towpath_bento.footprint", *map(str, folders)]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    return [Footprint.model_validate(each) if each else None for each in json.loads(done.stdout)], done.stderr


def test_releases_are_measured_side_by_side(tiny: Callable[..., Any]) -> None:
    """Time of one row and of a hundred, processor time, memory and bytes of each; the card is for people only."""
    one, other = tiny(bias=0.0).folder, tiny(bias=1.0, version=2).folder
    (one / CARD_HTML).write_text("x" * 100_000)
    found, words = _ask(one, other)
    assert words == ""
    assert [each is not None for each in found] == [True, True]
    for each, folder in zip(filter(None, found), (one, other), strict=True):
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        sizes.pop(CARD_HTML, None)
        assert each.artifact_bytes == sum(sizes.values())
        assert each.engine == "onnx"
        assert min(each.one_row_ms, each.hundred_rows_ms, each.cpu_s_per_million) > 0
        assert each.memory_bytes is None or each.memory_bytes < 500_000_000


def test_one_that_cannot_be_served_does_not_hide_the_other(tiny: Callable[..., Any]) -> None:
    """It has no footprint, and what is wrong with it is said."""
    good, bad = tiny().folder, tiny(golden_error=2e-5, version=2).folder
    found, words = _ask(good, bad)
    assert [each is not None for each in found] == [True, False]
    assert "golden request 0" in words
