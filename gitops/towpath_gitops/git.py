"""Running git itself: a clean environment, no questions, no hooks, and errors that a person can act on."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from towpath_gitops.errors import (
    ConflictError,
    MissingDependencyError,
    RefusedError,
    TowpathError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.files import MACHINE_ERRORS

TIMEOUT_S = 120.0

# Variables that would point git at another repository, index or object store, as they do inside a git hook.
_REDIRECTING = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# LC_ALL: messages are matched below. Replace refs could show another history than the one that was approved.
_FIXED = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_OPTIONS = (
    "--literal-pathspecs",
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "gc.auto=0"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "user.useConfigOnly=true"),  # an identity is stated by a person, never guessed from a host's name
)
# What the system says of itself (strerror, by LC_ALL in the words below), not of what was asked.
_UNWELL = tuple(os.strerror(number).lower() for number in MACHINE_ERRORS)
_NOT_RUN = frozenset({126, 127})  # by the loader of programs, which found no library or no room for one
_MEND = "Make room, or let the folder be written; then run it again."
_UNREACHABLE = (
    "authentication failed",
    "bad line length",  # a page of a proxy instead of git's answer, or half of one; so the other words about protocol
    "could not read",
    "could not resolve",
    "does not appear to be a git repository",
    "does not exist",
    "early eof",
    "expected flush",
    "not found",
    "permission denied",
    "premature end of pack",
    "protocol error",
    "remote failed to report status",
    "repository access",
    "rpc failed",
    "unable to access",
    "unexpected disconnect",
    "hung up",
)
_MOVED = (
    "already exists",
    "atomic",
    "cannot lock ref",
    "failed to update ref",
    "fetch first",
    "incorrect old value",
    "non-fast-forward",
    "stale info",
)


@dataclass(frozen=True)
class Git:
    """Git in one folder, with extra environment variables such as an identity."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def attempt(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one git command and return what happened, whatever its exit code.

        Raises:
            MissingDependencyError: git is not installed.
            UnavailableError: no answer within two minutes, or the machine will not do its part: git was ended by a
                signal, or met a disk that is full or broken. That answers no question.
        """
        kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
        try:
            result = subprocess.run(
                ["git", *_OPTIONS, *arguments],
                cwd=self.root,
                env=kept | _FIXED | dict(self.environment) | dict(environment or {}),
                input=stdin,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError as error:
            if not self.root.is_dir():
                raise UncleanRepositoryError(f"{self.root} is not a folder") from error
            raise MissingDependencyError(
                "git is not installed", why="Towpath keeps every decision in git.", hint="Install git 2.30 or newer."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"git {arguments[0]} gave no answer in {TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise UnavailableError(f"git {arguments[0]} cannot be started", why=str(error), hint=_MEND) from error
        _require_answer(arguments[0], result)
        return result

    def run(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
        """Run one git command and return its output.

        Raises:
            UncleanRepositoryError: git refuses; its own words are the reason.
            UnavailableError: the remote cannot be reached.
        """
        result = self.attempt(*arguments, stdin=stdin, environment=environment)
        if result.returncode:
            raise failure(arguments, result.stderr)
        return result.stdout

    def text(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """Run one git command and return its output as text without the last line break."""
        return self.run(*arguments, stdin=stdin, environment=environment).decode(errors="replace").rstrip("\n")


def _require_answer(verb: str, result: "subprocess.CompletedProcess[bytes]") -> None:
    """Refuse to take for an answer what a machine that is unwell made of it.

    Raises:
        UnavailableError: with the reason.
    """
    if result.returncode < 0:
        name = signal.Signals(-result.returncode).name
        raise UnavailableError(f"git {verb} was ended by the signal {name}", hint="Run it again.")
    if result.returncode in _NOT_RUN:
        why = result.stderr.decode(errors="replace").strip()
        raise UnavailableError(f"git {verb} cannot be started", why=why, hint=_MEND)
    # What a remote's hook says, git repeats behind “remote:”: that is its own affair.
    lines = result.stderr.decode(errors="replace").splitlines() if result.returncode else []
    said = [line for line in lines if not line.startswith("remote:")]
    if any(sign in line.lower() for line in said for sign in _UNWELL):
        raise UnavailableError(f"git {verb} could not do its work", why="\n".join(said), hint=_MEND)


def failure(arguments: Sequence[str], stderr: bytes) -> TowpathError:
    """Return the error that tells what a failed git command said, without credentials."""
    words = stderr.decode(errors="replace").strip()
    lowered = words.lower()
    if arguments[0] in {"fetch", "push", "ls-remote"} and any(sign in lowered for sign in _UNREACHABLE):
        return UnavailableError(
            f"git {arguments[0]}: the remote cannot be reached", why=words, hint="Check the address: git remote -v"
        )
    if "cannot lock ref" in lowered or "unable to create" in lowered:
        return ConflictError(f"git {arguments[0]}: another process holds the lock", why=words, hint="Run it again.")
    return UncleanRepositoryError(f"git {arguments[0]} failed", why=words)


def rejection(output: bytes, stderr: bytes) -> TowpathError:
    """Return the error for a push that failed, from its porcelain output: somebody was first, or the remote says no."""
    refused = [line.split("\t") for line in output.decode(errors="replace").splitlines() if line.startswith("!")]
    lost = any("[remote failure]" in parts[-1] for parts in refused)  # it may or may not have taken the push
    if not refused or lost:
        return failure(("push",), stderr + output)
    reasons = "\n".join(f"{parts[1].rpartition(':')[2]}: {parts[-1]}" for parts in refused)
    if any(sign in reasons for sign in _MOVED):
        return ConflictError(
            "The remote has moved since it was read", why=reasons, hint="Look at it again, then repeat."
        )
    return RefusedError("The remote refuses the push", why=f"{reasons}\n{stderr.decode(errors='replace')}")
