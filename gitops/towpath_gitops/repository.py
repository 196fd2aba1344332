"""A git repository, safely read and written.

Records are read from commits and written as commits by plumbing in a temporary index: the working tree is never
touched and never trusted. Symbolic links and submodules are refused. Every push states what it expects to replace.
"""

import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Self

from towpath_gitops.errors import (
    ConflictError,
    InvalidFileError,
    NotFoundError,
    UncleanRepositoryError,
)
from towpath_gitops.git import Git, failure, rejection
from towpath_gitops.trees import Entry, checked_path, content_of, files_of, refuse_link, tree_of

_FILE = "100644"
_FETCH_TRIES = 4
# Separated by NUL, the one character that neither a name nor a message can hold.
_LOG_FORMAT = "--format=%H%x00%P%x00%an%x00%ae%x00%ce%x00%cI%x00%B"
_LOG_FIELDS = 7


@dataclass(frozen=True)
class CommitInfo:
    """What a commit says about itself."""

    sha: str
    parents: tuple[str, ...]
    name: str
    author: str  # email
    committer: str  # email
    at: datetime  # when it was committed
    message: str

    def trailers(self, name: str) -> tuple[str, ...]:
        """Return the values of the trailers called `name` in the last paragraph of the message."""
        last = self.message.strip("\n").rpartition("\n\n")[2]
        found = (line.partition(": ") for line in last.split("\n"))
        return tuple(value.strip() for key, _, value in found if key.lower() == name.lower())


@dataclass(frozen=True)
class Repository:
    """A clone: its folder, the remote that everybody shares, and the branch that is the truth."""

    root: Path
    remote: str = "origin"
    branch: str = "main"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def discover(cls, start: Path) -> Self:
        """Return the repository that `start` lies in.

        Raises:
            UncleanRepositoryError: there is none.
        """
        result = Git(start).attempt("rev-parse", "--show-toplevel")
        if result.returncode:
            words = result.stderr.decode(errors="replace").strip()
            raise UncleanRepositoryError(
                f"{start} is not inside a git repository", why=words, hint="Start one: git init --initial-branch=main"
            )
        return cls(Path(result.stdout.decode().rstrip("\n")))

    def acting_as(self, name: str, email: str) -> Self:
        """Return the same repository, whose commits are by another person or robot."""
        roles = [f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        return replace(self, environment=dict(zip(roles, (name, email, name, email), strict=True)))

    @property
    def git(self) -> Git:
        """Git in this repository."""
        return Git(self.root, self.environment)

    # --- the clone ---------------------------------------------------------------------------------------------

    def head(self) -> str:
        """Return the commit that is checked out.

        Raises:
            UncleanRepositoryError: there is no commit yet.
        """
        commit = self.resolve("HEAD")
        if commit is None:
            raise UncleanRepositoryError("The repository has no commit yet", hint="git add --all && git commit")
        return commit

    def resolve(self, name: str) -> str | None:
        """Return the commit that a ref, tag or abbreviated hash names in this clone, or None."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        result = self.git.attempt(*arguments)
        return result.stdout.decode().strip() if result.returncode == 0 else None

    def changes(self) -> list[str]:
        """Return the paths of the working tree that differ from the commit, untracked files included."""
        listing = self.git.text("status", "--porcelain", "--untracked-files=normal", "--no-renames", "-z")
        return [entry[3:] for entry in listing.split("\0") if entry]

    def is_clean(self) -> bool:
        """Return whether the working tree equals the commit that is checked out."""
        return not self.changes()

    def require_clean(self) -> None:
        """Refuse to go on with uncommitted changes: what is recorded must be what ran.

        Raises:
            UncleanRepositoryError: naming the first few paths.
        """
        changes = self.changes()
        if changes:
            more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""  # noqa: PLR2004 (a screenful)
            raise UncleanRepositoryError(
                "The repository has uncommitted changes",
                why=f"{', '.join(changes[:5])}{more}. A release names the commit that made it.",
                hint="Commit them: git add --all && git commit",
            )

    def identity(self) -> str:
        """Return the email address under which this person commits.

        Raises:
            UncleanRepositoryError: none is configured.
        """
        result = self.git.attempt("var", "GIT_AUTHOR_IDENT")
        match = re.search(r"<([^<>]+)> \d+ [+-]\d{4}$", result.stdout.decode(errors="replace").strip())
        if result.returncode or match is None:
            raise UncleanRepositoryError(
                "git does not know who you are",
                why="Proposals and approvals carry a name.",
                hint="git config --global user.name 'Your Name' && git config --global user.email you@example.org",
            )
        return match[1]

    # --- the remote --------------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Bring this clone's view of the remote up to date: branches, pull requests of the local forge, nothing else.

        Raises:
            UncleanRepositoryError: there is no remote.
            UnavailableError: it cannot be reached.
        """
        shallow = self.git.text("rev-parse", "--is-shallow-repository") == "true"
        arguments = ["fetch", "--quiet", "--no-tags", "--prune", "--force", "--no-write-fetch-head", "--refmap="]
        arguments += ["--unshallow"] if shallow else []  # ancestry is asked for, which a shallow clone cannot tell
        specs = [f"+refs/heads/*:refs/remotes/{self.remote}/*", "+refs/towpath/*:refs/towpath/*"]
        for wait in range(_FETCH_TRIES):
            result = self.git.attempt(*arguments, self.remote, *specs)
            if result.returncode == 0:
                return
            self._require_remote()
            error = failure(arguments, result.stderr)
            if not isinstance(error, ConflictError) or wait == _FETCH_TRIES - 1:
                raise error
            time.sleep(0.1 * 2**wait)  # another process of ours is fetching: it holds the lock for milliseconds

    def _require_remote(self) -> None:
        if self.git.attempt("remote", "get-url", self.remote).returncode:
            raise UncleanRepositoryError(
                f"The repository has no remote called {self.remote}",
                why="Proposals, approvals and the ledger live on a remote that others see.",
                hint=f"git remote add {self.remote} ADDRESS && git push --set-upstream {self.remote} {self.branch}",
            )

    def _mirror(self, ref: str) -> str:
        """Return where this clone keeps the remote's `ref`."""
        name = ref.removeprefix("refs/heads/")
        return ref if name == ref else f"refs/remotes/{self.remote}/{name}"

    def tip(self, ref: str) -> str | None:
        """Return the commit of the remote's full `ref` (`refs/heads/…`) as last fetched, or None."""
        return self.resolve(self._mirror(ref))

    def advertised(self, ref: str) -> str | None:
        """Return the commit of the remote's full `ref` as the remote itself says now, or None; nothing is fetched.

        Raises:
            UnavailableError: the remote cannot be reached.
            UncleanRepositoryError: there is no remote.
        """
        result = self.git.attempt("ls-remote", "--quiet", self.remote, ref)
        if result.returncode:
            self._require_remote()
            raise failure(("ls-remote",), result.stderr)
        lines = (line.split("\t") for line in result.stdout.decode(errors="replace").splitlines())
        return next((sha for sha, name in lines if name == ref), None)

    def tips(self, prefix: str) -> dict[str, str]:
        """Return the remote's refs below the full `prefix` (`refs/heads/towpath/`), as last fetched, with commits."""
        mirror = self._mirror(prefix)
        listing = self.git.text("for-each-ref", "--format=%(objectname) %(refname)", mirror.rstrip("/"))
        found = (line.split(" ", 1) for line in listing.splitlines())
        return {prefix + ref.removeprefix(mirror): commit for commit, ref in found if ref.startswith(mirror)}

    def main(self) -> str:
        """Return the commit of the remote's main branch as last fetched.

        Raises:
            UncleanRepositoryError: it was never pushed, or never fetched.
        """
        commit = self.tip(f"refs/heads/{self.branch}")
        if commit is None:
            raise UncleanRepositoryError(
                f"The remote {self.remote} has no branch {self.branch}",
                hint=f"git push --set-upstream {self.remote} {self.branch}",
            )
        return commit

    def push(self, commit: str | None, ref: str, expected: str | None) -> None:
        """Move the remote's full `ref` from `expected` (None: it must not exist) to `commit` (None: delete it).

        Raises:
            ConflictError: the ref is not what was expected; nothing was changed.
            RefusedError: the remote's own rules refuse.
            UnavailableError: the remote cannot be reached.
        """
        self.push_all({ref: (commit, expected)})

    def push_all(self, updates: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Move several refs at once, all or none: ref → (commit, expected), as in `push`."""
        leases = [f"--force-with-lease={ref}:{expected or ''}" for ref, (_, expected) in updates.items()]
        specs = [f"{commit or ''}:{ref}" for ref, (commit, _) in updates.items()]
        atomic = ["--atomic"] if len(updates) > 1 else []
        result = self.git.attempt("push", "--porcelain", "--no-verify", *atomic, *leases, self.remote, *specs)
        if result.returncode:
            raise rejection(result.stdout, result.stderr)
        for ref, (commit, _) in updates.items():
            change = ["-d", self._mirror(ref)] if commit is None else [self._mirror(ref), commit]
            self.git.run("update-ref", *change)

    # --- reading -----------------------------------------------------------------------------------------------

    def entries(self, commit: str, folder: str = "") -> Sequence[Entry]:
        """Return the files of a commit below `folder` (or the one file of that path), at any depth.

        Raises:
            InvalidFileError: one is a symbolic link or a submodule, or its name leaves the folder.
            NotFoundError: the commit does not exist in this clone.
        """
        listed = self._listing(commit)
        within = f"{folder.rstrip('/')}/" if folder else ""
        found = [entry for entry in listed if entry.path == folder or entry.path.startswith(within)]
        for entry in found:
            refuse_link(entry)
            checked_path(entry.path)
        return found

    def _listing(self, commit: str) -> Sequence[Entry]:
        exact = commit if re.fullmatch(r"[0-9a-f]{40}", commit) else self.resolve(commit)
        if exact is None:
            raise NotFoundError(f"No commit {commit} in this clone", hint="git fetch")
        return files_of(self.root, exact)

    def list(self, commit: str, folder: str = "") -> list[str]:
        """Return the paths, from the root, of the files of a commit below `folder`."""
        return [entry.path for entry in self.entries(commit, folder)]

    def read_bytes(self, commit: str, path: str) -> bytes | None:
        """Return the bytes of a file in a commit, or None when it is not there.

        Raises:
            InvalidFileError: it is a symbolic link or a submodule.
        """
        found = [entry for entry in self.entries(commit, path) if entry.path == path]
        return content_of(self.root, found[0].blob) if found else None

    def read(self, commit: str, path: str) -> str | None:
        """Return the text of a file in a commit, or None when it is not there.

        Raises:
            InvalidFileError: it is a symbolic link, a submodule, or not UTF-8.
        """
        data = self.read_bytes(commit, path)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            raise InvalidFileError(f"{path} is not UTF-8 text", why=str(error)) from error

    def tree(self, commit: str, folder: str = "") -> str | None:
        """Return the hash of a folder's tree in a commit (equal trees have equal files), or None without it."""
        try:
            return tree_of(self.root, commit, folder)
        except NotFoundError:
            return None

    def export(self, commit: str, folder: str, into: Path) -> None:
        """Write the files of a commit's `folder` below `into`, named from that folder.

        Raises:
            InvalidFileError: one is a symbolic link or a submodule; nothing was written.
            NotFoundError: the folder is not in the commit.
        """
        entries = self.entries(commit, folder)
        if not entries:
            raise NotFoundError(f"There is no {folder} in commit {commit[:12]}")
        for entry in entries:
            target = into / PurePosixPath(entry.path).relative_to(folder or ".")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.git.run("cat-file", "blob", entry.blob))
            target.chmod(0o755 if entry.mode == "100755" else 0o644)

    # --- history -----------------------------------------------------------------------------------------------

    def is_ancestor(self, old: str, new: str) -> bool:
        """Return whether `old` is `new` or lies in its history."""
        return self.git.attempt("merge-base", "--is-ancestor", old, new).returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the best common ancestor of two commits, or None when their histories never met."""
        result = self.git.attempt("merge-base", one, other)
        return result.stdout.decode().strip() if result.returncode == 0 else None

    def log(
        self,
        commit: str,
        *,
        since: str | None = None,
        path: str | None = None,
        first_parent: bool = True,
        limit: int | None = None,
    ) -> tuple[CommitInfo, ...]:
        """Return the history of a commit, newest first, down to but without `since`, as far as it touches `path`."""
        options = ["--first-parent"] * first_parent + ([f"--max-count={limit}"] if limit else [])
        span = [commit, *([f"^{since}"] if since else [])]
        places = ["--", path] if path else ["--"]
        text = self.git.run("log", "-z", "--no-show-signature", *options, _LOG_FORMAT, *span, *places)
        fields = text.decode(errors="replace").split("\0")
        rows = range(0, len(fields) - _LOG_FIELDS + 1, _LOG_FIELDS)
        return tuple(_commit_info(fields[row : row + _LOG_FIELDS]) for row in rows)

    def info(self, commit: str) -> CommitInfo:
        """Return what one commit says about itself."""
        return self.log(commit, limit=1)[0]

    def changed(self, old: str, new: str) -> tuple[str, ...]:
        """Return the paths that differ between two commits, deletions included."""
        listing = self.git.text("diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new)
        return tuple(path for path in listing.split("\0") if path)

    # --- writing -----------------------------------------------------------------------------------------------

    def commit(
        self,
        parents: Sequence[str],
        base: str | None,
        edits: Mapping[str, bytes | None],
        message: str,
        *,
        at: datetime | None = None,
    ) -> str:
        """Make a commit object and return its hash; no ref, no index and no working tree changes.

        `edits` maps a path to its new bytes, None to remove it, on the tree of the commit `base` (None: empty).

        Raises:
            InvalidFileError: a path is absolute, leaves the repository or names git's own folder.
        """
        blobs = {path: self._blob(data) for path, data in edits.items()}
        return self._commit_blobs(parents, base, blobs, message, at=at)

    def _blob(self, data: bytes | None) -> tuple[str, str] | None:
        return None if data is None else (_FILE, self.git.text("hash-object", "-w", "--stdin", stdin=data))

    def _commit_blobs(
        self,
        parents: Sequence[str],
        base: str | None,
        blobs: Mapping[str, tuple[str, str] | None],
        message: str,
        *,
        at: datetime | None = None,
    ) -> str:
        removed = ("0", "0" * 40)
        lines = [(*(blob or removed), checked_path(path)) for path, blob in blobs.items()]
        with tempfile.TemporaryDirectory(prefix="towpath-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self.git.run("read-tree", *([base] if base else ["--empty"]), environment=index)
            listing = "".join(f"{mode} {blob}\t{path}\0" for mode, blob, path in lines).encode()
            self.git.run("update-index", "-z", "--index-info", stdin=listing, environment=index)
            tree = self.git.text("write-tree", environment=index)
        dates = {f"GIT_{role}_DATE": at.isoformat() for role in ("AUTHOR", "COMMITTER")} if at else {}
        over = [argument for parent in parents for argument in ("-p", parent)]
        return self.git.text("commit-tree", tree, *over, "-F", "-", stdin=message.encode(), environment=dates)

    def merge(self, ours: str, theirs: str, message: str) -> str:
        """Make the merge commit of `theirs` into `ours` and return its hash; no ref changes.

        Files are taken whole: one that both sides changed differently is a conflict and never blended line by line,
        for nobody would have reviewed the blend.

        Raises:
            ConflictError: naming the files that both sides changed, or that the histories never met.
            InvalidFileError: `theirs` brings a symbolic link or a submodule.
        """
        base = self.merge_base(ours, theirs)
        if base is None:
            raise ConflictError("The two histories have no commit in common", hint="Propose the change again.")
        before, here, there = ({item.path: item for item in self._listing(commit)} for commit in (base, ours, theirs))
        paths = self.changed(base, theirs)
        clashes = [path for path in paths if here.get(path) not in (before.get(path), there.get(path))]
        if clashes:
            raise ConflictError(
                "Both sides changed the same file", why=", ".join(clashes), hint="Propose the change again."
            )
        brought = {path: there.get(path) for path in paths}
        for entry in filter(None, brought.values()):
            refuse_link(entry)
        blobs = {path: (entry.mode, entry.blob) if entry else None for path, entry in brought.items()}
        return self._commit_blobs([ours, theirs], ours, blobs, message)


def _commit_info(fields: Sequence[str]) -> CommitInfo:
    sha, parents, name, author, committer, at, message = fields
    moment = datetime.fromisoformat(at)
    return CommitInfo(sha, tuple(parents.split()), name, author, committer, moment, message.strip("\n"))


def emails(commits: Iterable[CommitInfo]) -> frozenset[str]:
    """Return who wrote or committed any of the commits."""
    return frozenset(email for commit in commits for email in (commit.author, commit.committer))
