"""What main may hold and a reconciler must not follow: rewritten history, links, and nothing at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.errors import ConflictError, DeliveryError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.repository import Repository

_MAIN = "refs/heads/main"
_PATH = layout.environment_path(STAGING, MODEL)


@contextmanager
def _moved(stage: Stage, commit: str) -> Iterator[None]:
    """Let main be another commit for the time of the block, by force."""
    repository = stage.repository
    before = repository.main()
    repository.push(commit, _MAIN, before)
    try:
        yield
    finally:
        repository.push(before, _MAIN, commit)


def _reconciled(stage: Stage) -> Sequence[Refusal]:
    stage.crown()
    stage.reconcile(STAGING)
    return []


class RewrittenHistory(Drill):
    """A main branch that no longer holds what was applied is not followed."""

    injected = "main is pushed by force to a history without the applied commit"
    gate = RefusedError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Follow a commit that descends from the applied one."""
        _reconciled(stage)
        repository = stage.repository
        main = repository.main()
        with _moved(stage, repository.commit([main], main, {"NOTES.md": b"Nothing new.\n"}, "Note")):
            return _reconciled(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Push the same files as a history of their own."""
        repository = stage.repository
        with _moved(stage, repository.commit([], repository.main(), {}, "Begin again")):
            return _reconciled(stage)


class LinkedEnvironment(Drill):
    """A symbolic link in place of an environment file is not obeyed."""

    injected = "staging's environment file becomes a link that leads out of the repository"
    gate = InvalidFileError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Obey the plain file."""
        return _reconciled(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Commit the link as git does."""
        with _moved(stage, _with_link(stage.repository, _PATH)):
            return _reconciled(stage)


def _with_link(repository: Repository, path: str) -> str:
    """Return a commit on main in which `path` is a symbolic link."""
    main, git = repository.main(), repository.git
    blob = git.text("hash-object", "-w", "--stdin", stdin=b"../../../../secrets.yaml")
    index = {"GIT_INDEX_FILE": str(repository.root / ".git" / "drill-index")}
    git.run("read-tree", main, environment=index)
    git.run("update-index", "--cacheinfo", f"120000,{blob},{path}", environment=index)
    tree = git.text("write-tree", environment=index)
    return git.text("commit-tree", tree, "-p", main, "-m", "Link")


class EmptiedMain(Drill):
    """An environment file that is gone removes nothing."""

    injected = "staging's environment file is deleted from main"
    gate = NotFoundError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Reconcile with the file in its place."""
        return _reconciled(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Delete it, reconcile, and look whether the service still serves."""
        repository = stage.repository
        main = repository.main()
        with _moved(stage, repository.commit([main], main, {_PATH: None}, "Delete")):
            try:
                return _reconciled(stage)
            finally:
                if not stage.target(STAGING).observe().running:
                    raise DeliveryError("The service was stopped because its file was gone")


class StaleLeader(Drill):
    """A reconciler that slept past its lease writes nothing."""

    injected = "one reconciler holds the lease, another takes over, the first wakes up and writes"
    gate = ConflictError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Write while holding the lease."""
        lease = self._lease(stage)
        with lease.held(), lease.writing():
            return []

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let the lease run out, be taken, and write nevertheless."""
        first = self._lease(stage, duration_s=0.0)
        first.acquire()
        with self._lease(stage).held(), first.writing():
            return []

    def _lease(self, stage: Stage, duration_s: float = 30.0) -> Lease:
        return Lease(layout.state(stage.root, "drill-lease"), duration_s)
