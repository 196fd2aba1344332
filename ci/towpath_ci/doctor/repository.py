"""Checks of the git repository."""

from pathlib import Path

from towpath_ci.doctor.base import Check, Finding, State
from towpath_ci.doctor.inputs import Git
from towpath_gitops import layout


class InsideRepository(Check):
    """This folder belongs to a model repository."""

    gravity = State.WARN
    mend = "copier copy <where towpath is> my-model && cd my-model && git init -b main"

    @staticmethod
    def check(start: Path, git: Git) -> Finding:
        """Outside of one only `demo`, `doctor` and `schemas` have something to do."""
        found = git("rev-parse", "--show-toplevel")
        if not found:
            return f"{start} is not in a git repository"
        missing = (
            f"{found} has no {layout.MODEL}: `towpath infer FILE --target COLUMN` writes it for a table of your own"
        )
        return (Path(found) / layout.MODEL).is_file() or missing


class Identity(Check):
    """git knows who you are."""

    mend = "git config user.email you@example.org && git config user.name 'Your Name'"

    @staticmethod
    def check(git: Git) -> Finding:
        """Proposals and approvals are signed with git's identity; an approval by nobody counts for nothing."""
        return bool(git("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")) or "user.email is not set"


class HasCommit(Check):
    """The repository has a commit."""

    mend = "git add --all && git commit -m 'Begin'"

    @staticmethod
    def check(git: Git, model_root: Path) -> Finding:
        """A release is bound to the commit that trained it."""
        return git("-C", str(model_root), "rev-parse", "--verify", "HEAD") is not None


class HasRemote(Check):
    """The repository has a remote that answers."""

    mend = "git init --bare ../my-model.git && git remote add origin ../my-model.git && git push -u origin main"

    @staticmethod
    def check(git: Git, model_root: Path) -> Finding:
        """Pull requests live on the remote: any plain git remote will do, a folder on this disk too."""
        address = git("-C", str(model_root), "remote", "get-url", "origin")
        if address is None:
            return "there is no remote called origin"
        return git("-C", str(model_root), "ls-remote", "origin", "HEAD") is not None or f"{address} does not answer"


class MainIsTracked(Check):
    """The remote has a branch main, and this clone knows it."""

    mend = "git push -u origin main && git fetch origin"

    @staticmethod
    def check(git: Git, model_root: Path) -> Finding:
        """What main declares is what is served; nothing else is."""
        found = git("-C", str(model_root), "rev-parse", "--verify", "refs/remotes/origin/main")
        return found is not None or "origin/main is not known here"


class NothingUncommitted(Check):
    """Nothing is uncommitted."""

    gravity = State.WARN
    mend = "git add --all && git commit"

    @staticmethod
    def check(git: Git, model_root: Path) -> Finding:
        """`train` refuses uncommitted changes, because a release names the commit that trained it."""
        changes = git("-C", str(model_root), "status", "--porcelain")
        return not changes or f"{len((changes or '').splitlines())} files are changed or new"


class StateIsIgnored(Check):
    """Git ignores .towpath/, where local state lives."""

    mend = "echo '.towpath/' >> .gitignore"

    @staticmethod
    def check(git: Git, model_root: Path) -> Finding:
        """Stores, servers and journals must never be committed."""
        return git("-C", str(model_root), "check-ignore", "-q", f"{layout.STATE}/x") is not None
