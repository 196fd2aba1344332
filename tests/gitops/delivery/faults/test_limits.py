"""What the kernel itself refuses, with nothing of ours in between: too many open files, files too large, failed calls.

Git and SQLite meet these as well as Python does. A run ends in words or succeeds, whoever served serves, and the next
run ends where an undisturbed one does.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops.delivery import processes

if TYPE_CHECKING:
    from tests.gitops.delivery.faults.conftest import Faulty, Run

    Capture = pytest.CaptureFixture[str]

STRACE = shutil.which("strace")
# Calls, the error that they meet, at which of them in each process, and whether a run fails by it: SQLite's files hold
# what is derived or mirrored, and a run does without. A single open that fails inside git is left out: git then takes
# an object that it cannot read for a missing one, and says that.
CALLS = {
    "fsync,fdatasync": ("EIO", (1, 3, 8), True),
    "rename,renameat,renameat2": ("ENOSPC", (1, 2, 4), True),
    "pwrite64": ("ENOSPC", (1, 3), False),
}
MORE = range(1, 60, 3)
SIZES = (0, 60, 100, 300, 400, 800, 4000, 30000)  # bytes


class Meeting:
    """Lets one swap after another meet what the kernel refuses."""

    def __init__(self, faulty: "Faulty", kind: str) -> None:
        """See what a swap is like undisturbed."""
        self.faulty, self.kind, self.number = faulty, kind, 0
        self.marks = faulty.undisturbed(faulty.swap).marks

    def fails(self, meet: "Callable[[], Run]", what: object) -> bool:
        """Let a run meet something, require its end after one more, and return whether the first failed."""
        self.number += 1
        end, where = self.faulty.swap(self.number), f"{self.kind} {what}"
        run = meet()
        assert run.state == "ended", where
        assert run.error in {None, "UnavailableError"}, f"{where}: {run}"
        assert self.faulty.served() is not None, where
        self.faulty.repair(end)
        assert self.faulty.marks() == self.marks, where
        self.faulty.driver.faults[self.kind] += run.error is not None
        return run.error is not None

    def tell(self, capsys: "Capture") -> int:
        """Print how many runs failed in words, and return it."""
        assert self.faulty.world.ledger.verify() == []
        failed = self.faulty.driver.faults[self.kind]
        with capsys.disabled():
            print(f"\n{failed} of {self.number} runs ended in words by {self.kind}, every next one converged")  # noqa: T201 (a figure)
        return failed


def test_too_many_open_files(faulty: "Faulty", capsys: "Capture") -> None:
    """One more may be open from run to run, until it is enough."""
    meeting, spare = Meeting(faulty, "RLIMIT_NOFILE"), 0
    while meeting.fails(partial(faulty.driver.run, faulty.world, spare_files=spare), spare):
        spare += 1
    assert meeting.tell(capsys) >= 3


def test_files_too_large(faulty: "Faulty", capsys: "Capture") -> None:
    """A limit on the size of files, as a full quota is: git is ended by a signal, Python and SQLite get an error."""
    meeting = Meeting(faulty, "RLIMIT_FSIZE")
    for size in SIZES:
        meeting.fails(partial(faulty.driver.run, faulty.world, file_bytes=size), size)
    assert meeting.tell(capsys) >= 4


@pytest.mark.skipif(STRACE is None, reason="strace is not installed; the limits above need nothing")
@pytest.mark.parametrize("calls", CALLS)
def test_calls_that_fail(faulty: "Faulty", capsys: "Capture", calls: str) -> None:
    """The same call fails in the run and in each git that it starts."""
    _fail(faulty, capsys, calls, CALLS[calls][1])


@pytest.mark.long
@pytest.mark.skipif(STRACE is None, reason="strace is not installed; the limits above need nothing")
@pytest.mark.parametrize("calls", CALLS)
def test_many_calls_that_fail(faulty: "Faulty", capsys: "Capture", calls: str) -> None:
    """The same, at many more of them."""
    _fail(faulty, capsys, calls, MORE)


def _fail(faulty: "Faulty", capsys: "Capture", calls: str, numbers: Iterable[int]) -> None:
    error, _, fails = CALLS[calls]
    meeting = Meeting(faulty, f"{error} of {calls}")
    for number in numbers:
        meeting.fails(partial(_traced, faulty, f"{calls}:error={error}:when={number}"), number)
    assert meeting.tell(capsys) or not fails


def _traced(faulty: "Faulty", injected: str) -> "Run":
    """Stop a run at its first moment, let strace take it and what it starts over, and let it go on."""
    pid = faulty.driver.start(faulty.world, fault="SIGSTOP", at=0)
    assert faulty.driver.wait(pid).state == "stopped"
    calls = injected.partition(":")[0]
    command = [str(STRACE), "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={injected}"]
    tracer = subprocess.Popen([*command, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until_s = time.monotonic() + 20.0
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text() and tracer.poll() is None:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    run = faulty.driver.resume(pid)
    _, said = tracer.communicate(timeout=20)
    if b"attach" in said:
        pytest.skip(f"this machine lets no process trace another: {said.decode()}")
    return run


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes by files")
def test_a_process_that_cannot_be_asked_is_not_said_to_be_anothers() -> None:
    """With no file left to open nobody knows whose a process is, and nothing is concluded from that."""
    lines = ["import os, resource, sys", "from towpath_gitops.delivery import processes"]
    lines += ["resource.setrlimit(resource.RLIMIT_NOFILE, (3, 99))"]
    lines += ["try:", "    print(processes.has_variable(int(sys.argv[1]), 'NAME', 'value'))"]
    lines += ["except OSError as error:", "    print(error.strerror)"]
    command = [sys.executable, "-c", "\n".join(lines), str(os.getpid())]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said != "False\n"
    assert not processes.has_variable(os.getpid(), "NAME", "value")
