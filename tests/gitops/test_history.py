"""Main's first-parent line: what was merged, and nothing else that can be reached."""

import pytest

from towpath_gitops.history import follows, line_of, newest_change, newest_changes
from towpath_gitops.repository import Repository


def _commit(repository: Repository, *parents: str, **files: str) -> str:
    edits: dict[str, bytes | None] = {name: text.encode() for name, text in files.items()}
    return repository.commit(parents, parents[0] if parents else None, edits, "x")


@pytest.fixture
def history(ada: Repository) -> dict[str, str]:
    """First, then a merge of a branch of two commits, then another commit; and a commit of another history."""
    first = ada.main()
    branch = _commit(ada, _commit(ada, first, side="1"), side="2")
    merge = ada.merge(first, branch, "Merge")
    return {"first": first, "branch": branch, "merge": merge, "last": _commit(ada, merge, main="1")} | {
        "stranger": _commit(ada, other="1"),
        "unknown": "0" * 40,
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("first", "last", True),
        ("merge", "last", True),
        ("last", "last", True),
        ("last", "merge", False),  # main was moved back
        ("branch", "last", False),  # merged, but never main
        ("stranger", "last", False),
        ("unknown", "last", False),
        ("unknown", "unknown", False),
    ],
)
def test_only_the_first_parents_of_a_commit_lead_to_it(
    ada: Repository,
    history: dict[str, str],
    old: str,
    new: str,
    expected: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """A commit that was merged was reviewed as part of the merge, and was not main before."""
    assert follows(ada, history[old], history[new]) is expected


def test_the_line_holds_what_was_main(ada: Repository, history: dict[str, str]) -> None:
    """Asked for thousands at once it says the same."""
    assert line_of(ada, history["last"]) == {history["last"]: 0, history["merge"]: 1, history["first"]: 2}


def test_the_newest_change_is_the_merge_that_brought_it(ada: Repository, history: dict[str, str]) -> None:
    """Not the commit on the branch; a place that never existed was never changed."""
    assert newest_change(ada, history["last"], ["side"]) == history["merge"]
    assert newest_change(ada, history["last"], ["side", "main"]) == history["last"]
    assert newest_change(ada, history["last"], ["nowhere"]) is None


def test_the_newest_changes_of_many_places_are_those_of_each(ada: Repository, history: dict[str, str]) -> None:
    """Files and whole folders, in one reading; a name made to look like a commit deceives nobody."""
    hostile = ada.git.text("hash-object", "-w", "--stdin", stdin=b"")
    last = ada.commit([history["last"]], history["last"], {"src/b.py": b"2\n", "side": b"3"}, "x")
    listing = f"100644 blob {hostile}\t\x02{history['first']}\0".encode() + ada.git.run("ls-tree", "-z", last)
    tree = ada.git.text("mktree", "-z", stdin=listing)
    commit = ada.git.text("commit-tree", tree, "-p", history["last"], "-m", "x")
    found = newest_changes(ada, commit, ["side", "main", "README.md", "src", "nowhere"])
    assert found == {"side": commit, "src": commit, "main": history["last"], "README.md": history["first"]}
