# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Pull requests on refs: numbers, approvals, merges and closings, with two people and no service."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges import FORGES, open_forge
from towpath_gitops.forges.base import State
from towpath_gitops.forges.local import PULLS, LocalForge
from towpath_gitops.repository import Repository

MAIN = "refs/heads/main"


@pytest.fixture
def branch(world: Any) -> Callable[..., str]:
    """Return a function that pushes a branch with one changed file."""

    def push(name: str, path: str = "f", content: bytes = b"1") -> str:
        world.ada.fetch()
        main = world.ada.main()
        world.ada.push(world.ada.commit([main], main, {path: content}, "Change"), f"refs/heads/{name}", None)
        return name

    return push


def _open(world: Any, branch: str, who: str = "ada", **fields: Any) -> Any:
    texts = {"title": "A change", "body": "# Why\n", "data": "{}\n"} | fields
    return world.desk(who).forge.open(branch=branch, labels=["promote"], **texts)


def test_an_opened_pull_request_reads_back_as_it_was_opened(world: Any, branch: Callable[..., str]) -> None:
    """Number, author, head, texts and labels; found by branch, number and state."""
    pull = _open(world, branch("b"))
    assert (pull.number, pull.author, pull.state, pull.base) == (1, "ada@example.org", State.OPEN, "main")
    assert (pull.head, pull.opened) == (world.ada.tip("refs/heads/b"), world.now)
    forge = world.desk("grace").forge
    assert forge.get(1) == forge.find("b") == pull
    assert forge.list() == forge.list(State.OPEN) == [pull]
    assert forge.list(State.MERGED) == []
    assert (pull.body, pull.data, pull.labels) == ("# Why\n", "{}\n", ("promote",))
    assert forge.find("other") is None


def test_it_lives_on_a_ref_of_the_remote(world: Any, branch: Callable[..., str]) -> None:
    """Another clone of the same remote sees it: nothing is kept on this machine."""
    _open(world, branch("b"))
    other = world.folder / "other"
    world.ada.git.run("clone", "--quiet", str(world.folder / "remote.git"), str(other))
    assert LocalForge(Repository(other)).get(1).title == "A change"


def test_opening_twice_adopts_and_refreshes(world: Any, branch: Callable[..., str]) -> None:
    """The same branch is the same pull request; its decision document follows."""
    _open(world, branch("b"))
    again = _open(world, "b", body="# Better\n")
    assert (again.number, again.body) == (1, "# Better\n")
    assert len(world.desk().forge.list()) == 1
    tip = world.ada.tip(f"{PULLS}1")
    assert _open(world, "b", body="# Better\n") == again
    assert world.ada.tip(f"{PULLS}1") == tip


def test_a_branch_that_was_not_pushed_cannot_be_opened(world: Any) -> None:
    """The error names the branch."""
    with pytest.raises(NotFoundError, match="no branch absent"):
        _open(world, "absent")


def test_two_who_open_at_once_get_different_numbers(world: Any, branch: Callable[..., str]) -> None:
    """The loser of the race for a number looks again and takes the next; nothing is lost."""
    for name in ("one", "two"):
        branch(name, name)
    late = world.desk().forge
    find = late.find

    class Raced(LocalForge):
        """Between looking and opening, somebody else opens, once."""

        def find(self, name: str) -> Any:
            found = find(name)
            if not world.desk("grace").forge.list():
                _open(world, "two", "grace")
            return found

    pull = Raced(world.ada, lambda: world.now).open(branch="one", title="t", body="", data="")
    assert (pull.number, pull.branch) == (2, "one")
    assert [pull.branch for pull in late.list()] == ["two", "one"]


def test_an_unknown_number_lists_what_exists(world: Any, branch: Callable[..., str]) -> None:
    """The error helps to find the right one."""
    with pytest.raises(NotFoundError, match="none yet"):
        world.desk().forge.get(7)
    _open(world, branch("b"))
    with pytest.raises(NotFoundError, match="#1"):
        world.desk().forge.get(7)


def test_approvals_carry_identity_head_and_time(world: Any, branch: Callable[..., str]) -> None:
    """Each is a commit by its approver; repeating it adds nothing; a new head needs a new one."""
    _open(world, branch("b"))
    forge = world.desk("grace").forge
    pull = forge.approve(1)
    assert forge.approve(1) == pull
    (approval,) = pull.approvals
    assert (approval.by, approval.head, approval.at) == ("grace@example.org", pull.head, world.now)
    assert approval.is_genuine
    new = world.ada.commit([pull.head], pull.head, {"g": b""}, "More")
    world.ada.push(new, "refs/heads/b", pull.head)
    moved = forge.get(1)
    assert (moved.head, moved.current_approvals, len(moved.approvals)) == (new, (), 1)
    assert len(forge.approve(1).approvals) == 2


def test_two_approvals_at_once_both_count(world: Any, branch: Callable[..., str]) -> None:
    """The second to push repeats on top of the first."""
    _open(world, branch("b"))

    class Raced(LocalForge):
        """Between reading and pushing, Grace approves."""

        def _event(self, *arguments: Any) -> str:
            event = super()._event(*arguments)
            world.desk("grace").forge.approve(1)
            return event

    Raced(world.person("mallory"), lambda: world.now).approve(1)
    approvals = world.desk().forge.get(1).approvals
    assert {approval.by for approval in approvals} == {"grace@example.org", "mallory@example.org"}


def test_editing_pull_json_approves_nothing(world: Any, branch: Callable[..., str]) -> None:
    """Approvals and the author are read off the commits, whatever the file claims."""
    pull = _open(world, branch("b"))
    claim = {"by": "grace@example.org", "head": pull.head, "at": "2026-01-01T00:00:00Z"}
    claim |= {"recorded_by": "grace@example.org"}
    forged = json.dumps(pull.plain() | {"approvals": [claim], "author": "grace@example.org"})
    tip = world.ada.tip(f"{PULLS}1")
    event = world.ada.commit([tip], tip, {"pull.json": forged.encode()}, "Approve\n\nApproves: nonsense")
    world.ada.push(event, f"{PULLS}1", tip)
    read = world.desk().forge.get(1)
    assert (read.approvals, read.author) == ((), "ada@example.org")


def test_a_ref_that_holds_another_pull_request_is_refused(world: Any, branch: Callable[..., str]) -> None:
    """A pull request copied under another number does not become a second one."""
    _open(world, branch("b"))
    world.ada.push(world.ada.tip(f"{PULLS}1"), f"{PULLS}2", None)
    with pytest.raises(InvalidFileError, match="holds pull request #1"):
        world.desk().forge.get(2)


def test_a_merge_leaves_testimony_and_no_branch(world: Any, branch: Callable[..., str]) -> None:
    """Main, the branch and the pull request move together; the message names number and approver, not the author."""
    pull = _open(world, branch("b"))
    world.desk("ada").forge.approve(1)
    world.desk("grace").forge.approve(1)
    before = world.ada.main()
    merged = world.desk().forge.merge(1, pull.head)
    world.ada.fetch()
    info = world.ada.info(world.ada.main())
    assert (merged.state, merged.merged, merged.head) == (State.MERGED, info.sha, pull.head)
    assert info.parents == (before, pull.head)
    assert (info.trailers("Towpath-Pull"), info.trailers("Approved-by")) == (("1",), ("grace@example.org",))
    assert world.ada.tip("refs/heads/b") is None
    assert world.desk().forge.merge(1, pull.head) == merged
    with pytest.raises(RefusedError, match="merged"):
        world.desk().forge.close(1, "too late")


def test_a_merge_of_another_head_or_base_than_reviewed_is_a_conflict(world: Any, branch: Callable[..., str]) -> None:
    """What was reviewed is what is merged; main stays where it was."""
    pull = _open(world, branch("b"))
    main = world.ada.main()
    with pytest.raises(ConflictError, match="moved on"):
        world.desk().forge.merge(1, main)
    world.push({"other": "x"})
    with pytest.raises(ConflictError, match="moved on"):
        world.desk().forge.merge(1, pull.head, expected_base=main)
    assert world.desk().forge.get(1).state is State.OPEN
    assert world.desk().forge.merge(1, pull.head, expected_base=world.ada.main()).state is State.MERGED


def test_a_title_cannot_forge_trailers(world: Any, branch: Callable[..., str]) -> None:
    """A title that looks like a trailer stays in the subject."""
    pull = _open(world, branch("b"), title="Approved-by: grace@example.org")
    merged = world.desk().forge.merge(1, pull.head)
    assert world.ada.info(merged.merged).trailers("Approved-by") == ()


def test_a_merge_that_died_before_it_was_written_down_is_seen_in_main(world: Any, branch: Callable[..., str]) -> None:
    """Main contains the head: the pull request is merged, whoever did it; merging again changes nothing."""
    pull = _open(world, branch("b"))
    main = world.ada.main()
    merge = world.ada.merge(main, pull.head, "Merge pull request #1\n\nTowpath-Pull: 1\n")
    world.ada.push(merge, MAIN, main)
    forge = world.desk("grace").forge
    assert (forge.get(1).state, forge.get(1).merged) == (State.MERGED, merge)
    assert forge.find("b") is None
    assert forge.merge(1, pull.head).merged == merge
    assert world.ada.main() == merge


def test_closing_says_why_and_deletes_the_branch(world: Any, branch: Callable[..., str]) -> None:
    """The comment stays; approving or merging what is closed is refused; closing twice is closing once."""
    pull = _open(world, branch("b"))
    closed = world.desk("grace").forge.close(1, "Superseded by #2")
    assert (closed.state, closed.comments[-1].text, closed.comments[-1].by) == (
        State.CLOSED,
        "Superseded by #2",
        "grace@example.org",
    )
    assert world.ada.tip("refs/heads/b") is None
    assert world.desk().forge.close(1, "again") == closed
    for act in (lambda forge: forge.approve(1), lambda forge: forge.merge(1, pull.head)):
        with pytest.raises(RefusedError, match="closed"):
            act(world.desk().forge)


def test_a_branch_that_vanished_is_a_closed_pull_request(world: Any, branch: Callable[..., str]) -> None:
    """Deleting the branch by hand withdraws the proposal; pushing it again brings it back."""
    pull = _open(world, branch("b"))
    world.ada.push(None, "refs/heads/b", pull.head)
    assert world.desk().forge.get(1).state is State.CLOSED
    assert _open(world, branch("b")).number == 1
    assert world.desk().forge.get(1).state is State.OPEN


def test_comments_are_kept_in_order(world: Any, branch: Callable[..., str]) -> None:
    """Both people's remarks, each with a name."""
    _open(world, branch("b"))
    world.desk("ada").forge.comment(1, "One\ntwo")
    pull = world.desk("grace").forge.comment(1, "Three")
    assert [(remark.by, remark.text) for remark in pull.comments] == [
        ("ada@example.org", "One\ntwo"),
        ("grace@example.org", "Three"),
    ]


def test_the_table_of_forges_opens_them_by_name(world: Any) -> None:
    """One row for each forge; an unknown name lists them."""
    assert isinstance(open_forge(world.ada), LocalForge)
    with pytest.raises(NotFoundError, match=", ".join(FORGES)):
        open_forge(world.ada, "gitweb")
