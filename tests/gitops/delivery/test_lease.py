"""One writer at a time, and no stale one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from towpath_gitops.delivery import lease as module
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.errors import ConflictError, UnavailableError

HOLD = """
import sys, time
from pathlib import Path
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.errors import ConflictError
lease = Lease(Path(sys.argv[1]), duration_s=float(sys.argv[2]))
lease.acquire()
print("held", flush=True)
sys.stdin.readline()
try:
    with lease.writing():
        Path(sys.argv[1], "written").write_text("by the sleeper")
except ConflictError:
    sys.exit(7)
"""


def _holder(folder: Path, duration_s: float) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", HOLD, str(folder), str(duration_s)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_the_token_grows_with_every_holder(tmp_path: Path) -> None:
    """So that writes can be told apart by age."""
    tokens = []
    for _ in range(3):
        lease = Lease(tmp_path)
        with lease.held():
            tokens.append(lease.token)
    assert tokens == [1, 2, 3]


def test_a_held_lease_is_refused_until_it_expires(tmp_path: Path) -> None:
    """A second one is told who holds it and for how long; after that it takes over, and the first may not write."""
    now = [1000.0]
    first, second = (Lease(tmp_path, 30.0, lambda: now[0]) for _ in range(2))
    first.acquire()
    with pytest.raises(UnavailableError, match=f"{os.getpid()} holds the lease for 30 s"):
        second.acquire()
    now[0] += 29.0
    with first.writing():
        pass
    now[0] += 29.0
    with pytest.raises(UnavailableError):
        second.acquire()
    now[0] += 2.0
    second.acquire()
    with pytest.raises(ConflictError), first.writing():
        pytest.fail("a stale holder wrote")
    first.release()  # is not the first's to give back
    with second.writing():
        pass


def test_a_stopped_holder_that_wakes_up_is_refused(tmp_path: Path) -> None:
    """SIGSTOP past the lease, another takes over, SIGCONT: the write does not happen."""
    process = _holder(tmp_path, 0.2)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    lease = Lease(tmp_path)
    lease.acquire()
    process.send_signal(signal.SIGCONT)
    process.communicate("go\n")
    assert process.returncode == 7
    assert not (tmp_path / "written").exists()


def test_a_dead_holder_frees_its_lease_at_once(tmp_path: Path) -> None:
    """Nobody waits for a process that was killed."""
    process = _holder(tmp_path, 3600.0)
    process.kill()
    process.communicate()
    lease = Lease(tmp_path)
    lease.acquire()
    assert lease.token == 2


@pytest.mark.parametrize("content", ["", "{", '{"token": -1, "holder": 1, "expires_s": 0}'])
def test_a_broken_lease_file_is_begun_anew(tmp_path: Path, content: str) -> None:
    """Whatever somebody wrote there does not block delivery for ever."""
    (tmp_path / "lease.json").write_text(content)
    Lease(tmp_path).acquire()


def test_a_folder_that_was_deleted_takes_the_lease_with_it(tmp_path: Path) -> None:
    """Whoever held it is refused; another takes a new one, which the first cannot mistake for its own."""
    folder = tmp_path / "target"
    first, second = Lease(folder), Lease(folder)
    first.acquire()
    shutil.rmtree(folder)
    with pytest.raises(ConflictError), first.writing():
        pytest.fail("it wrote without a lease")
    process = _holder(folder, 30.0)
    with pytest.raises(UnavailableError):
        second.acquire()
    with pytest.raises(ConflictError), first.writing():
        pytest.fail("it took another's lease for its own")
    process.kill()
    process.communicate()


def test_a_lock_on_a_file_that_is_gone_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is deleted between opening and locking: the file that others will lock is locked instead."""
    folder = tmp_path / "target"
    locked = module._try_lock
    deleted: list[bool] = []

    def deleting(file: IO[bytes]) -> bool:
        if not deleted:
            deleted.append(True)
            shutil.rmtree(folder)
        return locked(file)

    monkeypatch.setattr(module, "_try_lock", deleting)
    lease = Lease(folder)
    lease.acquire()
    assert (folder / "lease.json").exists()
