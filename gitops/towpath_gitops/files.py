"""Files that are either the old bytes or the new bytes, never something between, and nothing left of who was killed."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# What says that the machine is unwell, not that something was asked wrongly: trying again after mending may help.
MACHINE_ERRORS: Final = frozenset(
    {errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EROFS}
)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a synced temporary file in the same folder and a rename.

    Missing parent folders are made. After a crash the file holds its old content or all of the new; the next write in
    its folder removes what the dead writer left there.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    temporary = path.with_name(_own(f".{path.name}."))
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a new folder inside `parent` for the time of a `with` block, and remove those of writers that were killed.

    Raises:
        OSError: `parent` cannot be written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder = parent / _own(prefix)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut (POSIX asks for the directory itself to be synced)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# A temporary name ends in who writes it, so that another process knows whether anybody still does.


_TEMPORARY: Final = re.compile(r"\..+[.-][0-9a-f]{12}\.(\d{1,9})\.tmp")


def _own(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(6)}.{os.getpid()}.tmp"


def sweep(parent: Path) -> None:
    """Remove what killed writers left in `parent`."""
    for place in os.scandir(parent):
        name = _TEMPORARY.fullmatch(place.name)
        if name and not _runs(int(name[1])):
            _remove(Path(place))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # another process sweeps as well, or it can wait for the next time
            path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    return True
