"""The lease: one reconciler at a time may move a target, and one that was asleep too long may not any more.

Each lease carries a fencing token that grows with every holder. A write to the target happens under a short file lock
in which the token is compared, so that a holder that was stopped past its lease and wakes up is refused, whatever it
believes (M. Kleppmann, “How to do distributed locking”, 2016). A holder that has died frees its lease at once.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import NonNegativeInt, PositiveInt

from towpath_gitops.delivery.processes import alive
from towpath_gitops.errors import ConflictError, InvalidFileError, UnavailableError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import Record
from towpath_gitops.records.parsing import parse_json

LEASE = "lease.json"
_LOCK = "lease.lock"
_LOCK_S = 30.0  # writes are short; the longest is a push of the ledger


class _State(Record):
    """`lease.json`: who may write, and until when."""

    token: NonNegativeInt
    holder: PositiveInt  # process id
    expires_s: float  # seconds since 1970


class Lease:
    """The right to move the target in `folder`, for `duration_s` seconds after the last renewal."""

    def __init__(self, folder: Path, duration_s: float = 30.0, clock: Callable[[], float] = time.time) -> None:
        """Prepare a lease; `acquire` takes it."""
        self.folder = folder
        self.duration_s = duration_s
        self.clock = clock
        self.token = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease for the time of a `with` block.

        Raises:
            UnavailableError: another process holds it now.
        """
        self.acquire()
        try:
            yield
        finally:
            # It expires by itself, and ends with its holder: what the block has to say is what must be heard.
            with suppress(OSError, UnavailableError):
                self.release()

    def acquire(self) -> None:
        """Take the lease when it is free, expired, or its holder is dead; the token grows.

        Raises:
            UnavailableError: another process holds it now.
        """
        with self._locked():
            state = self._read()
            left_s = state.expires_s - self.clock() if state else 0.0
            # None is granted for longer than its duration: one that says so was taken before the clock was set back.
            if state and 0.0 < left_s <= self.duration_s and alive(state.holder):
                raise UnavailableError(
                    f"Another reconcile is at work in {self.folder}",
                    why=f"Process {state.holder} holds the lease for {left_s:.0f} s more.",
                    hint="Wait for it, then run the same command again.",
                )
            self.token = state.token + 1 if state else 1
            self._write(self.clock() + self.duration_s)

    def release(self) -> None:
        """Give the lease back, when it is still ours."""
        with self._locked():
            if self._is_ours():
                self._write(0.0)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write to the target inside this block only: nobody else does, and the lease is ours and renewed.

        Raises:
            ConflictError: the lease has passed to another process.
        """
        with self._locked():
            if not self._is_ours():
                raise ConflictError(
                    f"The lease on {self.folder} has passed to another process",
                    why="This one was stopped for longer than its lease lasts. Nothing was written.",
                    hint="Run the same command again.",
                )
            self._write(self.clock() + self.duration_s)
            yield

    def _is_ours(self) -> bool:
        state = self._read()
        return state is not None and (state.token, state.holder) == (self.token, os.getpid())

    def _read(self) -> _State | None:
        try:
            return parse_json((self.folder / LEASE).read_bytes(), _State, source=LEASE)
        except (FileNotFoundError, InvalidFileError):  # written atomically: a broken one was made by hand
            return None

    def _write(self, expires_s: float) -> None:
        state = _State(token=self.token, holder=os.getpid(), expires_s=expires_s)
        write_atomically(self.folder / LEASE, state.model_dump_json() + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file lock; the kernel frees it when its holder dies."""
        until_s = time.monotonic() + _LOCK_S
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / _LOCK).open("ab") as file:
                if _try_lock(file) and self._is_there(file):
                    yield
                    return
            if time.monotonic() > until_s:
                raise UnavailableError(
                    f"{self.folder / _LOCK} is locked",
                    why="Another process writes to the target, or was stopped while it did.",
                    hint=f"Find it: fuser {self.folder / _LOCK}",
                )
            time.sleep(0.01)

    def _is_there(self, file: IO[bytes]) -> bool:
        """Return whether a locked file is the one that others will lock: the folder may have been deleted meanwhile."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), (self.folder / _LOCK).stat())
        except FileNotFoundError:
            return False


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
