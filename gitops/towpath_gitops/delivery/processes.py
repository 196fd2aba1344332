"""Processes that outlive the one that starts them: start, look, end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The child writes its own process id, then becomes the program: killing us at any moment leaves no unknown child.
_LAUNCH = 'echo $$ > "$0" && exec "$@"'

_READS = 5


def start(argv: Sequence[str], environment: Mapping[str, str], log: Path, pid_file: Path) -> int:
    """Start a program in a session of its own, its output appended to `log`, and return its process id.

    Raises:
        OSError: there is no shell, or `log` cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    arguments = ["sh", "-c", _LAUNCH, str(pid_file), *argv]
    return os.posix_spawn("/bin/sh", arguments, dict(environment), file_actions=actions, setsid=True)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits to be counted (a zombie) does not."""
    with suppress(ChildProcessError):  # not a child of ours
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    with suppress(OSError, IndexError):  # only Linux has this file
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def has_variable(pid: int, name: str, value: str) -> bool:
    """Return whether a process was started with an environment variable: process ids are used again, by anybody."""
    wanted = f"{name}={value}"
    if sys.platform == "linux":
        return wanted.encode() in _environment(pid)
    listing = subprocess.run(
        ["ps", "eww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return wanted in listing.stdout


def variable(pid: int, name: str) -> str | None:
    """Return the value of an environment variable, without spaces, that a process was started with; None without it."""
    if sys.platform == "linux":
        found = (text for text in _environment(pid) if text.startswith(f"{name}=".encode()))
        return next((text.partition(b"=")[2].decode(errors="replace") for text in found), None)
    listing = subprocess.run(
        ["ps", "eww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    match = re.search(rf"(?:^|\s){re.escape(name)}=(\S*)", listing.stdout)
    return match[1] if match else None


def having_variable(name: str, value: str) -> list[int]:
    """Return the processes of this user that were started with an environment variable; this one is not among them."""
    if sys.platform == "linux":
        pids = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdecimal()]
    else:
        listing = subprocess.run(["ps", "-xo", "pid="], capture_output=True, text=True, check=False)
        pids = [int(word) for word in listing.stdout.split()]
    return sorted(pid for pid in pids if pid != os.getpid() and has_variable(pid, name, value))


def leads(pid: int) -> bool:
    """Return whether a process leads a session, as those do that `start` starts; their children do not."""
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(pid) == pid
    return False


def _environment(pid: int) -> list[bytes]:
    """Return a process's environment on Linux; empty when it is gone or somebody else's.

    Raises:
        OSError: it cannot be asked, for want of open files for example.
    """
    for _ in range(_READS):
        try:
            data = Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # nothing else says that it is not ours
            return []
        if data:
            return data.split(b"\0")
        time.sleep(0.001)  # it is just becoming another program, and has no environment for an instant
    return []


def end(pid: int, *, at_once: bool = False) -> None:
    """Ask a process to end, or make it end; one that has ended already is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL if at_once else signal.SIGTERM)
