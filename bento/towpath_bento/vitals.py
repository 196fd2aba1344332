"""How a worker itself fares: processor time, memory, and what it was built from."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import psutil

from towpath_bento import metrics

VERSION_VARIABLE: Final = "TOWPATH_VERSION"  # of the code in an image, which carries it without its metadata
_EVERY_S: Final = 1.0


class _Vitals:
    """What was told last, so that a counter grows by what came since."""

    def __init__(self) -> None:
        self.process: psutil.Process | None = None
        self.cpu_s = 0.0
        self.told_s = -_EVERY_S


_last = _Vitals()


def update(*, now: bool = False) -> None:
    """Tell processor time and memory, once a second or `now`."""
    moment_s = time.monotonic()
    if not now and moment_s - _last.told_s < _EVERY_S:
        return
    process = _last.process or psutil.Process()
    spent_s = time.process_time()
    metrics.CPU.inc(max(0.0, spent_s - _last.cpu_s))
    metrics.MEMORY.set(process.memory_info().rss)
    _last.process, _last.cpu_s, _last.told_s = process, spent_s, moment_s


def introduce() -> None:
    """Tell what this worker was built from."""
    versions = [_version(name) for name in ("bentoml", "onnxruntime")]
    own = os.environ.get(VERSION_VARIABLE) or _version("towpath")
    metrics.BUILD.labels(own, platform.python_version(), *versions).set(1)
    update(now=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
