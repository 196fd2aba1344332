"""What a training takes of the machine: CPU time, time, memory."""

import os
import sys
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self

CPU, WALL, MEMORY = "cpu_seconds", "wall_seconds", "peak_memory_bytes"  # metrics of the run
_KILOBYTE: Final = 1 if sys.platform == "darwin" else 1024  # the unit in which systems tell a peak of memory


@dataclass(frozen=True)
class Clock:
    """The moment at which a training began, in this process's CPU time and in time."""

    cpu_s: float
    wall_s: float

    @classmethod
    def start(cls) -> Self:
        """Begin now."""
        return cls(_cpu_s(), monotonic())

    def read(self) -> dict[str, float]:
        """Return the seconds since, and the greatest memory that this process ever had, where the system tells."""
        read = {CPU: _cpu_s() - self.cpu_s, WALL: monotonic() - self.wall_s}
        try:
            import resource  # noqa: PLC0415 (not on every system)
        except ImportError:
            return read
        return read | {MEMORY: float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE)}


def _cpu_s() -> float:
    """Return the CPU seconds of this process, its threads, and the processes that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
