import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.errors import (
    ConflictError,
    InvalidFileError,
    MissingDependencyError,
    NotFoundError,
    RefusedError,
    TowpathError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.git import failure, rejection
from towpath_gitops.redaction import redacted
from towpath_gitops.repository import Repository, emails
from towpath_gitops.trees import checked_path

MAIN = "refs/heads/main"
RunGit = Callable[..., str]
Clone = Callable[[str], Repository]


def test_a_folder_outside_any_repository_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    """Outside a repository the error tells how to start one."""
    with pytest.raises(UncleanRepositoryError, match="git init"):
        Repository.discover(tmp_path)


def test_the_repository_is_found_from_any_folder_inside(ada: Repository) -> None:
    """A subfolder leads to the top."""
    assert Repository.discover(ada.root / "src").root == ada.root.resolve()


def test_a_repository_without_commits_has_no_head(tmp_path: Path, git: RunGit) -> None:
    """Before the first commit there is nothing to release."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UncleanRepositoryError, match="no commit yet"):
        Repository.discover(tmp_path).head()


def test_a_repository_without_a_remote_cannot_fetch(tmp_path: Path, git: RunGit) -> None:
    """The missing remote is named, with the command that adds it."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UncleanRepositoryError, match="git remote add origin"):
        Repository.discover(tmp_path).fetch()


def test_a_remote_that_is_gone_is_unavailable_not_broken(ada: Repository, remote: Path) -> None:
    """A remote that cannot be reached is the retryable kind of failure."""
    remote.rename(remote.with_name("moved.git"))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        ada.fetch()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        ada.push(ada.head(), "refs/heads/other", None)


def test_an_empty_remote_has_no_main(clone: Clone) -> None:
    """A remote without the main branch says which push is missing."""
    repository = clone("ada")
    repository.fetch()
    with pytest.raises(UncleanRepositoryError, match="has no branch main"):
        repository.main()


def test_git_that_is_not_installed_is_named(ada: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git the error says to install it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="Install git"):
        ada.head()


def _limited(script: str, folder: Path) -> str:
    """Run a few lines on the repository in `folder`, in a process of its own; return the error that ends them."""
    lines = ["import resource, sys", "from pathlib import Path", "from towpath_gitops.errors import TowpathError"]
    lines += ["from towpath_gitops.repository import Repository", "repository = Repository(Path(sys.argv[1]))"]
    lines += ["try:", *(f"    {line}" for line in script.splitlines())]
    lines += ["except TowpathError as error:", "    print(type(error).__name__, error)"]
    command = [sys.executable, "-c", "\n".join(lines), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_git_that_was_ended_by_a_signal_has_answered_nothing(ada: Repository) -> None:
    """The kernel ends it, here for a file beyond a limit: that is no fault of the repository, and may pass."""
    script = "resource.setrlimit(resource.RLIMIT_FSIZE, (10, -1))\nrepository.commit([], None, {'a': b'x' * 99}, 'm')"
    said = _limited(script, ada.root)
    assert said.startswith("UnavailableError")
    assert "SIGXFSZ" in said


def test_git_that_cannot_be_started_is_unavailable(ada: Repository) -> None:
    """A process with too many open files asks nothing, and nothing is taken for an answer."""
    said = _limited("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 99))\nrepository.main()", ada.root)
    assert said.startswith("UnavailableError")
    assert os.strerror(errno.EMFILE) in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_what_a_disk_says_through_git_is_no_answer(ada: Repository, tmp_path: Path) -> None:
    """A git whose answer finds no room has not said that there is no such commit."""
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("git")} "$@" > /dev/full\n')
    wrapper.chmod(0o755)
    full = replace(ada, environment={"PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"})
    assert ada.resolve("HEAD")
    with pytest.raises(UnavailableError, match=os.strerror(errno.ENOSPC)):
        full.resolve("HEAD")


def test_uncommitted_and_untracked_files_make_a_repository_unclean(ada: Repository) -> None:
    """A clean tree passes; a changed and an untracked file are both named."""
    assert ada.is_clean()
    ada.require_clean()
    (ada.root / "README.md").write_text("changed")
    (ada.root / "new.txt").write_text("new")
    assert not ada.is_clean()
    with pytest.raises(UncleanRepositoryError, match=r"README\.md, new\.txt"):
        ada.require_clean()


def test_the_identity_is_the_configured_one_and_never_guessed(ada: Repository, git: RunGit) -> None:
    """The email comes from git; without one the error says how to set it."""
    assert ada.identity() == "ada@example.org"
    assert ada.acting_as("Bo", "bo@example.org").identity() == "bo@example.org"
    git(ada.root, "config", "--unset", "user.email")
    with pytest.raises(UncleanRepositoryError, match=r"user\.email"):
        ada.identity()


def test_a_commit_leaves_the_working_tree_and_the_branch_alone(ada: Repository) -> None:
    """Writing a record is invisible to the person who works in the clone."""
    before = ada.head()
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    new = ada.commit([before], before, {"a/b.txt": b"x", "README.md": None}, "Message\n\nKey: value", at=at)
    assert (ada.head(), ada.is_clean()) == (before, True)
    assert ada.list(new) == ["a/b.txt", "src/a.py"]
    assert (ada.read(new, "a/b.txt"), ada.read(new, "README.md")) == ("x", None)
    info = ada.info(new)
    assert (info.parents, info.author, info.at, info.trailers("key")) == ((before,), "ada@example.org", at, ("value",))


def test_a_push_moves_a_ref_only_from_what_was_expected(ada: Repository, clone: Clone) -> None:
    """Compare-and-swap: of two who start from the same commit the second loses, and nothing changes."""
    bo = clone("bo")
    old = ada.main()
    first, second = (who.commit([old], old, {"f": who.identity().encode()}, "x") for who in (ada, bo))
    ada.push(first, MAIN, old)
    with pytest.raises(ConflictError, match="has moved"):
        bo.push(second, MAIN, old)
    bo.fetch()
    assert bo.main() == ada.main() == first


def test_creating_a_ref_that_exists_is_a_conflict(ada: Repository, clone: Clone) -> None:
    """`expected=None` means that nobody may have been there."""
    bo = clone("bo")
    ada.push(ada.head(), "refs/towpath/pulls/1", None)
    mine = bo.commit([], None, {"x": b""}, "mine")
    with pytest.raises(ConflictError):
        bo.push(mine, "refs/towpath/pulls/1", None)


def test_several_refs_move_together_or_not_at_all(ada: Repository) -> None:
    """One stale lease among two leaves both refs where they were."""
    old = ada.main()
    new = ada.commit([old], old, {"f": b"1"}, "x")
    with pytest.raises(ConflictError):
        ada.push_all({MAIN: (new, old), "refs/heads/side": (new, new)})
    ada.fetch()
    assert (ada.main(), ada.tip("refs/heads/side")) == (old, None)
    ada.push_all({MAIN: (new, old), "refs/heads/side": (new, None)})
    assert ada.tips("refs/heads/") == {MAIN: new, "refs/heads/side": new}
    ada.push(None, "refs/heads/side", new)
    assert ada.tip("refs/heads/side") is None


def test_a_rule_of_the_remote_is_a_refusal_with_its_words(ada: Repository, remote: Path) -> None:
    """A hook on the remote that says no is no race: repeating would not help."""
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RefusedError, match="main is protected"):
        ada.push(ada.commit([ada.main()], ada.main(), {"f": b""}, "x"), MAIN, ada.main())


def test_hooks_of_the_clone_do_not_run(ada: Repository) -> None:
    """A pre-push hook of the working clone neither delays nor refuses a record."""
    hook = ada.root / ".git" / "hooks" / "pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    ada.push(ada.head(), "refs/heads/side", None)


def test_variables_of_a_surrounding_git_do_not_redirect(
    ada: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called from a git hook, the repository is still the one asked for."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert ada.read(ada.head(), "README.md") == "A model.\n"


def test_fetch_forgets_what_the_remote_deleted(ada: Repository, clone: Clone) -> None:
    """A pull request's ref or a branch that is gone there is gone here."""
    bo = clone("bo")
    for ref in ("refs/towpath/pulls/1", "refs/heads/side"):
        ada.push(ada.head(), ref, None)
        bo.fetch()
        assert bo.tip(ref) == ada.head()
        ada.push(None, ref, ada.head())
        bo.fetch()
        assert bo.tip(ref) is None


def test_a_shallow_clone_is_completed_before_ancestry_is_asked(ada: Repository, tmp_path: Path, remote: Path) -> None:
    """CI clones with depth 1; fetching makes them whole."""
    new = ada.commit([ada.main()], ada.main(), {"f": b""}, "x")
    old = ada.main()
    ada.push(new, MAIN, old)
    shallow = ("git", "clone", "--quiet", "--depth=1", remote.as_uri(), str(tmp_path / "ci"))
    subprocess.run(shallow, check=True)
    ci = Repository.discover(tmp_path / "ci")
    ci.fetch()
    assert ci.is_ancestor(old, ci.main())


@pytest.mark.parametrize("kind", ["symlink", "submodule"])
def test_links_and_submodules_are_never_followed(ada: Repository, git: RunGit, tmp_path: Path, kind: str) -> None:
    """A symbolic link or a submodule in a commit is refused by read, list and export; nothing is written."""
    mode, thing = {"symlink": ("120000", "/etc/passwd"), "submodule": ("160000", "")}[kind]
    (ada.root / "thing").write_text(thing)
    blob = git(ada.root, "hash-object", "-w", "thing") if thing else ada.head()
    git(ada.root, "update-index", "--add", "--cacheinfo", f"{mode},{blob},gitops/policy.yaml")
    git(ada.root, "commit", "--quiet", "-m", "hostile")
    for act in (
        lambda: ada.read(ada.head(), "gitops/policy.yaml"),
        lambda: ada.list(ada.head(), "gitops"),
        lambda: ada.export(ada.head(), "gitops", tmp_path / "out"),
    ):
        with pytest.raises(InvalidFileError, match="plain files"):
            act()
    assert not (tmp_path / "out").exists()


def test_export_writes_a_folder_with_its_modes(ada: Repository, tmp_path: Path, git: RunGit) -> None:
    """The files of a committed folder arrive with their bytes and the executable bit."""
    (ada.root / "src" / "run").write_bytes(b"\x00\xff")
    (ada.root / "src" / "run").chmod(0o755)
    git(ada.root, "add", "src/run")
    git(ada.root, "commit", "--quiet", "-m", "run")
    ada.export(ada.head(), "src", tmp_path / "out")
    assert (tmp_path / "out" / "run").read_bytes() == b"\x00\xff"
    assert os.access(tmp_path / "out" / "run", os.X_OK)
    assert not os.access(tmp_path / "out" / "a.py", os.X_OK)
    with pytest.raises(NotFoundError):
        ada.export(ada.head(), "absent", tmp_path / "none")


def test_a_file_that_is_not_text_is_named(ada: Repository) -> None:
    """Reading bytes as a record's text fails with the path."""
    commit = ada.commit([], None, {"a.yaml": b"\xff\xfe"}, "x")
    with pytest.raises(InvalidFileError, match=r"a\.yaml is not UTF-8"):
        ada.read(commit, "a.yaml")


def test_a_path_is_read_literally(ada: Repository) -> None:
    """Wildcards and options in a path are just characters."""
    assert ada.read(ada.head(), "*.md") is None
    assert ada.read(ada.head(), "src") is None
    assert ada.resolve("--help") is None


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", ".git/hooks/x", "a/.GIT/x", "a\\b", "a\nb", "a/", "\0"],
)
def test_hostile_paths_are_refused(ada: Repository, path: str) -> None:
    """Nothing is written outside the tree or into git's own folder."""
    with pytest.raises(InvalidFileError):
        ada.commit([], None, {path: b"x"}, "x")


@given(st.text())
def test_a_path_that_passes_stays_inside(path: str) -> None:
    """Whatever the string, a path that is accepted lies below the root."""
    try:
        checked = checked_path(path)
    except InvalidFileError:
        return
    root = Path("/some/repository")
    assert os.path.normpath(root / checked).startswith(f"{root}/")


def test_a_merge_takes_files_whole_and_has_both_parents(ada: Repository) -> None:
    """Edits of different files meet; added and removed files arrive."""
    base = ada.main()
    ours = ada.commit([base], base, {"ours": b"1"}, "ours")
    theirs = ada.commit([base], base, {"theirs": b"2", "src/a.py": None}, "theirs")
    merged = ada.merge(ours, theirs, "Merge")
    assert ada.info(merged).parents == (ours, theirs)
    assert ada.list(merged) == ["README.md", "ours", "theirs"]
    assert ada.changed(base, theirs) == ("src/a.py", "theirs")
    assert [commit.sha for commit in ada.log(merged, since=base)] == [merged, ours]
    assert emails(ada.log(merged)) == {"ada@example.org"}


def test_a_file_changed_on_both_sides_is_a_conflict_and_never_blended(ada: Repository) -> None:
    """Different lines of one file would merge in git; here nobody reviewed that blend."""
    first = ada.commit([], None, {"f": b"1\n2\n3\n4\n5\n"}, "base")
    ours = ada.commit([first], first, {"f": b"one\n2\n3\n4\n5\n"}, "ours")
    theirs = ada.commit([first], first, {"f": b"1\n2\n3\n4\nfive\n"}, "theirs")
    with pytest.raises(ConflictError, match="f"):
        ada.merge(ours, theirs, "Merge")
    with pytest.raises(ConflictError, match="no commit in common"):
        ada.merge(ada.main(), theirs, "Merge")


def test_a_message_cannot_forge_a_commit(ada: Repository) -> None:
    """Control characters in a message stay in the message; history has as many commits as there are."""
    hostile = "x\x1e\x1fforged\x1f\n\nKey: value\x1e"
    commit = ada.commit([ada.main()], ada.main(), {}, hostile)
    assert [info.sha for info in ada.log(commit)] == [commit, ada.main()]
    assert ada.info(commit).message == hostile


def test_the_history_of_a_path_is_only_what_touched_it(ada: Repository) -> None:
    """`path` narrows the log."""
    base = ada.main()
    one = ada.commit([base], base, {"f": b"1"}, "one")
    two = ada.commit([one], one, {"g": b"2"}, "two")
    assert [info.message for info in ada.log(two, path="f")] == ["one"]
    assert (ada.tree(two, "src"), ada.tree(two, "absent")) == (ada.tree(base, "src"), None)


def test_passwords_in_addresses_are_not_repeated() -> None:
    """An error quotes git without the credentials of the remote's address."""
    assert redacted("fatal: https://me:s3cret@host/x") == "fatal: https://…@host/x"


def test_a_commit_that_is_not_here_is_not_found(ada: Repository) -> None:
    """An unknown hash is an error, not an empty tree."""
    with pytest.raises(NotFoundError):
        ada.list("0" * 40)


def test_every_failure_of_git_is_one_of_ours(ada: Repository) -> None:
    """A refused command carries git's words."""
    with pytest.raises(TowpathError, match="git cat-file failed"):
        ada.git.run("cat-file", "blob", "0" * 40)


@pytest.mark.parametrize(
    "words",
    [
        b"error: RPC failed; HTTP 500 curl 22\nfatal: expected flush after ref listing",
        b"fatal: unable to access 'http://host/': The requested URL returned error: 429",
        b"fatal: protocol error: bad line length character: <htm",
        b"fatal: premature end of pack file, 20 bytes missing",
    ],
)
def test_a_remote_that_fails_over_http_may_be_asked_again(words: bytes) -> None:
    """A web server's troubles are no fault of this clone: the error is the one that may be repeated."""
    assert isinstance(failure(("fetch",), words), UnavailableError)


def test_a_push_whose_answer_is_lost_is_not_said_to_be_refused() -> None:
    """It may have been taken: the error is the one after which one looks again."""
    lost = b"!\tabc:refs/heads/main\t[remote failure] (remote failed to report status)\n"
    assert isinstance(rejection(lost, b"error: failed to push some refs"), UnavailableError)
