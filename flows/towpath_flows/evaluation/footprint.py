"""Asking what two releases cost where they serve, while this process has other work to do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from towpath_gitops.errors import TrainingError
from towpath_gitops.records.figures import Footprint, Footprints

_TIMEOUT_S: Final = 600.0


class Weighing:
    """A process that loads the lanes and waits; see `towpath_bento.footprint`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Hold the process."""
        self._process = process

    def read(self) -> Footprints:
        """Let it measure, and return what it found; a champion that cannot be served has no footprint.

        Raises:
            TrainingError: the challenger cannot be served, or takes more than ten minutes.
        """
        try:
            out, words = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            out, words = "", f"No answer in {_TIMEOUT_S:.0f} s."
        found = [Footprint.model_validate(each) if each else None for each in json.loads(out or "[]")]
        if not found or found[0] is None:
            raise TrainingError(
                "The model cannot be served, so that nobody can say what it costs", why=words.strip()[-1000:]
            )
        return Footprints(challenger=found[0], champion=found[1] if len(found) > 1 else None)


@contextmanager
def weighing(challenger: Path, champion: Path | None) -> Iterator[Weighing]:
    """Begin to load the artifacts in these folders, beside each other, for the time of the block."""
    folders = [str(folder) for folder in (challenger, champion) if folder is not None]
    process = subprocess.Popen(
        [sys.executable, "-m", "towpath_bento.footprint", *folders],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            yield Weighing(process)
        finally:
            process.kill()
