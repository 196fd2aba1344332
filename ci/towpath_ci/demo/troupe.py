"""Verbs for the story, each in a process of its own, all from one in which the slow libraries are loaded already.

A user waits some seconds for MLflow's import now and then; the story has thirty verbs and would wait minutes. The verbs
themselves are the very same: what a process is forked with is only what it would have imported.
"""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Final

# Verbs that run a Prefect flow: Prefect reads its settings while it is imported, and flushes its logs at exit.
ALONE: Final = frozenset({"train", "monitor", "demo"})
_CONTEXT: Final = multiprocessing.get_context("forkserver")


def assemble() -> None:
    """Begin to load the libraries, in the background."""
    _CONTEXT.set_forkserver_preload(["towpath_ci.demo.repertoire"])
    forkserver.ensure_running()


def play(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a verb in `folder` with `environment`, its output on this process's own, and return its exit code."""
    process = _CONTEXT.Process(target=_act, args=(list(arguments), folder, dict(environment)))
    process.start()
    process.join()
    return 1 if process.exitcode is None else process.exitcode


def _act(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    from towpath_ci.main import app  # noqa: PLC0415 (not needed where the verbs are only started)

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    app(args=arguments, prog_name="towpath")
