"""The thread that writes a worker's journal: noted answers wait in bounded memory, and go to disk every few seconds."""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from towpath_bento import metrics
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.keys import is_readable, secret_of_machine
from towpath_bento.journal.names import FILE_S, SUFFIX
from towpath_bento.journal.places import Place
from towpath_bento.journal.rows import to_table
from towpath_bento.settings import Journal
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.base import short

log = logging.getLogger("towpath.bento")

FILE_BYTES: Final = 2**24  # in memory, after which it is finished as well
_OPEN_FILES: Final = 8  # releases that are written at one time; the one begun first gives way
_END_S: Final = 3.0  # for the last rows, when the worker ends


@dataclass(eq=False)
class _File:
    """A file that still grows: it is written anew, whole, whenever rows have come."""

    name: str
    begun_s: float = field(default_factory=time.monotonic)
    table: pa.Table | None = None
    unwritten: int = 0  # rows

    def add(self, table: pa.Table) -> None:
        self.table = table if self.table is None else pa.concat_tables([self.table, table]).combine_chunks()
        self.unwritten += len(table)

    def is_full(self, most_rows: int) -> bool:
        table = self.table
        large = table is not None and (len(table) >= most_rows or table.nbytes >= FILE_BYTES)
        return large or time.monotonic() - self.begun_s >= FILE_S

    def write(self, place: Place) -> None:
        sink = pa.BufferOutputStream()
        parquet.write_table(self.table, sink, compression="zstd")
        place.write(self.name, sink.getvalue())
        metrics.JOURNAL_ROWS.inc(self.unwritten)
        self.unwritten = 0


class Writer:
    """Writes what it is offered, as soon as `settings.flush_s` allows; drops and counts what there is no room for."""

    def __init__(self, settings: Journal, place: Place) -> None:
        """Write to `place` from `start` on."""
        self._settings, self._place = settings, place
        self._waiting: deque[Noted] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._ended = threading.Event()
        self._failing = False
        self._secret: bytes | None = None
        self._asked = False  # whether the secret was looked for
        self._thread = threading.Thread(target=self._run, name="towpath-journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, noted: Iterable[Noted]) -> None:
        """Take answers to be written; never waits. Safe to call from any thread."""
        dropped = 0
        with self._lock:
            for each in noted:
                if self._waiting_bytes + each.size_bytes > self._settings.queue_bytes:
                    dropped += 1
                    continue
                self._waiting.append(each)
                self._waiting_bytes += each.size_bytes
        if dropped:
            metrics.JOURNAL_DROPPED.inc(dropped)

    def close(self) -> None:
        """Write what waits, and end; gives up after three seconds."""
        self._ended.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self._settings.flush_s)
            try:
                self._flush()
            except Exception:  # its next turn may be better, and nobody else would tell
                log.exception("the journal failed")
                metrics.JOURNAL_FAILURES.inc()

    def _flush(self) -> None:
        self._write_files()
        if not any(file.unwritten and file.is_full(self._settings.file_rows) for file in self._files.values()):
            self._take()  # else nothing can be written, and what waits must wait in the bounded queue
            self._write_files()

    def _write_files(self) -> None:
        for release, file in list(self._files.items()):
            if file.unwritten and not self._write(file):
                continue
            if file.is_full(self._settings.file_rows):
                del self._files[release]

    def _take(self) -> None:
        with self._lock:
            taken, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        groups: dict[str, list[Noted]] = {}
        for each in taken:
            groups.setdefault(each.lane.release, []).append(each)
        for release, noted in groups.items():
            try:
                self._file_of(release, noted).add(to_table(noted, self._secret_for(noted)))
            except Exception:  # one release's rows must not cost the others theirs
                log.exception("rows of %s cannot be remembered", short(release))
                metrics.JOURNAL_DROPPED.inc(len(noted))

    def _file_of(self, release: str, noted: Sequence[Noted]) -> _File:
        if release not in self._files:
            while len(self._files) >= _OPEN_FILES:
                del self._files[next(iter(self._files))]
            self._files[release] = _File(_name(release, noted[0].at_s))
            self._trim()
        return self._files[release]

    def _trim(self) -> None:
        try:
            self._place.trim(self._settings.max_bytes)
        except OSError as error:
            self._tell(error)

    def _write(self, file: _File) -> bool:
        try:
            file.write(self._place)
        except OSError as error:
            self._tell(error)
            return False
        self._failing = False
        return True

    def _tell(self, error: OSError) -> None:
        metrics.JOURNAL_FAILURES.inc()
        if not self._failing:  # a full disk stays full: once is enough
            log.warning("the journal in %s cannot be written; trying again: %s", self._place, error)
        self._failing = True

    def _secret_for(self, noted: Sequence[Noted]) -> bytes | None:
        if is_readable(noted[0].lane.codec.signature) or all(each.entity is None for each in noted):
            return None
        if not self._asked:
            self._asked = True
            try:
                self._secret = secret_of_machine()
            except NotFoundError as error:
                log.warning("entity keys are left out of the journal: %s", error)
        return self._secret


def _name(release: str, at_s: float) -> str:
    begun = datetime.fromtimestamp(at_s, UTC)
    return f"{begun:%Y-%m-%d}/{begun:%H%M%S.%f}-{short(release)}-{secrets.token_hex(4)}{SUFFIX}"
