"""Thirty paths that lead elsewhere: none is written, and none that somebody else has committed is read."""

import pytest

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.repository import Repository
from towpath_gitops.trees import checked_path

CORPUS = (
    "", "/", "/etc/passwd", "//etc/passwd", ".", "..", "../x", "../../etc/passwd", "a/..", "a/../b", "a/../../b", "./a",
    "a/./b", "a//b", "a/", ".git", ".git/config", ".GIT/config", ".Git/hooks/post-checkout", "a/.git/config", "a/.gIt",
    "a\\b", "..\\x", "C:\\x", "a\x00b", "a\nb", "a\rb", "a\tb", "\x1b[2J", "a\x7fb", ".git/../.git/x",
)  # fmt: skip


def test_the_corpus_is_large_enough() -> None:
    """Thirty at the least, all different."""
    assert len(set(CORPUS)) >= 30


@pytest.mark.parametrize("path", CORPUS)
def test_a_hostile_path_is_refused(path: str) -> None:
    """Absolute, climbing, empty in the middle, git's own folder in any case, or with control characters."""
    with pytest.raises(InvalidFileError):
        checked_path(path)


@pytest.mark.parametrize("path", [path for path in CORPUS if path])
def test_a_hostile_path_is_not_committed(ada: Repository, path: str) -> None:
    """The commit is not made, and main stays what it was."""
    before = ada.main()
    with pytest.raises(InvalidFileError):
        ada.commit([before], before, {path: b"x"}, "Hostile")
    assert ada.main() == before
