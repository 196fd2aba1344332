"""Running git itself: a clean environment, no questions, no hooks, and errors that a person can act on."""

import os
import re
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
_UNREACHABLE = (
    "authentication failed",
    "could not read",
    "could not resolve",
    "does not appear to be a git repository",
    "does not exist",
    "early eof",
    "not found",
    "permission denied",
    "repository access",
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
            UnavailableError: no answer within two minutes.
        """
        kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
        try:
            return subprocess.run(
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


def failure(arguments: Sequence[str], stderr: bytes) -> TowpathError:
    """Return the error that tells what a failed git command said, without credentials."""
    words = redacted(stderr.decode(errors="replace").strip())
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
    if not refused:
        return failure(("push",), stderr)
    reasons = "\n".join(f"{parts[1].rpartition(':')[2]}: {parts[-1]}" for parts in refused)
    if any(sign in reasons for sign in _MOVED):
        return ConflictError(
            "The remote has moved since it was read", why=redacted(reasons), hint="Look at it again, then repeat."
        )
    return RefusedError("The remote refuses the push", why=redacted(f"{reasons}\n{stderr.decode(errors='replace')}"))


def redacted(text: str) -> str:
    """Return `text` without the user names and passwords of addresses in it."""
    return re.sub(r"://[^/@\s]+@", "://…@", text)
