# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""What every forge promises: one suite, which each of them passes."""

from typing import Any

import pytest

from towpath_gitops.errors import ConflictError, NotFoundError, RefusedError
from towpath_gitops.forges.base import Check, Progress, State

MAIN = "refs/heads/main"


# --- open, get, find, list --------------------------------------------------------------------------------------------


def test_an_opened_pull_request_reads_back_as_it_was_opened(house: Any) -> None:
    """Number, author, head, texts and labels; found by branch, number and state."""
    pull = house.open("b", body="# Why\n\nBecause.", data='{"a": "…"}\n')
    assert (pull.number, pull.author, pull.state, pull.base) == (1, house.name("ada"), State.OPEN, "main")
    assert (pull.branch, pull.head, pull.title) == ("b", house.ada.tip("refs/heads/b"), "A change")
    assert (pull.body, pull.data, pull.labels) == ("# Why\n\nBecause.", '{"a": "…"}\n', ("promote",))
    assert (pull.comments, pull.approvals, pull.check, pull.merged) == ((), (), None, None)
    assert pull.address
    forge = house.forge("grace")
    assert forge.get(1) == forge.find("b") == pull
    assert forge.list() == forge.list(State.OPEN) == [pull]
    assert forge.list(State.MERGED) == forge.list(State.CLOSED) == []
    assert forge.find("other") is None


def test_nothing_is_kept_on_this_machine(house: Any) -> None:
    """Another clone of the same remote sees the pull request with its texts."""
    pull = house.open("b")
    other = house.opener(house.clone("grace"), "grace")
    assert other.get(1) == pull


def test_opening_twice_adopts_and_refreshes(house: Any) -> None:
    """The same branch is the same pull request; title, decision document and labels follow."""
    first = house.open("b")
    again = house.open("b", push=False, title="Better", body="# Better\n", data="{1}")
    assert (again.number, again.title, again.body, again.data) == (1, "Better", "# Better\n", "{1}")
    relabelled = house.forge("grace").open(branch="b", title="Better", body="# Better\n", data="{1}", labels=["x"])
    assert (relabelled.labels, relabelled.author) == (("x",), first.author)
    assert house.forge().list() == [relabelled]


def test_opening_the_same_again_changes_nothing(house: Any) -> None:
    """Not one ref moves."""
    pull = house.open("b")
    before = house.tips()
    assert house.open("b", push=False) == pull
    assert house.tips() == before


def test_a_pull_request_follows_its_branch(house: Any) -> None:
    """A commit more is a new head of the same pull request."""
    pull = house.open("b")
    house.branch("b", content=b"2")
    moved = house.forge().get(1)
    assert moved.head == house.ada.tip("refs/heads/b") != pull.head
    assert moved.number == 1


def test_a_branch_that_was_not_pushed_cannot_be_opened(house: Any) -> None:
    """The error names the branch, and nothing is opened."""
    with pytest.raises(NotFoundError, match="no branch absent"):
        house.open("absent", push=False)
    assert house.forge().list() == []


def test_an_unknown_number_says_what_exists(house: Any) -> None:
    """The error helps to find the right one."""
    with pytest.raises(NotFoundError, match="none yet"):
        house.forge().get(7)
    house.open("b")
    with pytest.raises(NotFoundError, match="up to #1"):
        house.forge().get(7)


def test_a_text_of_any_length_survives(house: Any) -> None:
    """A decision document has no limit, for people or for machines."""
    body, data = "# Why\n" + "é" * 40_000 + "\nline\n" * 20_000, "[" + "1," * 80_000 + "1]"
    pull = house.open("b", body=body, data=data)
    assert (pull.body, pull.data) == (body, data)
    assert house.open("b", push=False, body=body, data=data) == pull


def test_lists_are_in_order_and_brief_about_what_is_settled(house: Any) -> None:
    """Oldest first; what a settled one was about in full is told by `get`."""
    for name in ("one", "two", "three"):
        house.open(name)
    house.forge().comment(1, "Hm.")
    house.forge().close(1, "No.")
    house.forge().merge(2, house.forge().get(2).head)
    everything = house.forge().list()
    assert [(pull.number, pull.state) for pull in everything] == [
        (1, State.CLOSED),
        (2, State.MERGED),
        (3, State.OPEN),
    ]
    assert [house.forge().list(state) for state in (State.CLOSED, State.MERGED, State.OPEN)] == [
        [pull] for pull in everything
    ]
    whole = house.forge().get(1)
    assert len(whole.comments) == 2
    assert everything[0] == whole.model_copy(update={"comments": (), "body": "", "data": ""})
    assert everything[2] == house.forge().get(3)


def test_what_follows_a_closed_pull_request_is_a_new_one(house: Any) -> None:
    """The same branch, pushed and opened again, has a number of its own."""
    house.open("b")
    house.forge().close(1, "No.")
    again = house.open("b")
    assert (again.number, again.comments) == (2, ())
    assert house.forge().get(1).state is State.CLOSED


# --- approve ----------------------------------------------------------------------------------------------------------


def test_approvals_carry_identity_head_and_time(house: Any) -> None:
    """Repeating one adds nothing; a new head needs a new one."""
    house.open("b")
    forge = house.forge("grace")
    assert forge.identity() == house.name("grace")
    pull = forge.approve(1)
    assert forge.approve(1) == pull
    (approval,) = pull.approvals
    assert (approval.by, approval.head, approval.is_genuine) == (house.name("grace"), pull.head, True)
    house.branch("b", content=b"2")
    moved = forge.get(1)
    assert (moved.current_approvals, moved.approvals) == ((), pull.approvals)
    assert len(forge.approve(1).approvals) == 2
    assert len(forge.get(1).current_approvals) == 1


def test_what_is_settled_cannot_be_approved_or_checked(house: Any) -> None:
    """The error says how it stands."""
    pull = house.open("b")
    house.forge().close(1, "No.")
    with pytest.raises(RefusedError, match="#1 is closed"):
        house.forge("grace").approve(1)
    with pytest.raises(RefusedError, match="#1 is closed"):
        house.forge().check(1, head=pull.head, ok=True, title="t", summary="s")


# --- people -----------------------------------------------------------------------------------------------------------


def test_whoever_had_a_hand_in_it_is_a_writer(house: Any) -> None:
    """The opener, who wrote a commit, who committed it; in lower case; nobody else."""
    house.branch("b")
    claim = {"GIT_AUTHOR_NAME": "Mallory", "GIT_AUTHOR_EMAIL": "Mallory@example.org".lower()}
    grace = house.person("grace")
    mixed = type(grace)(grace.root, environment={**grace.environment, **claim})
    house.branch("b", content=b"2", repository=mixed)
    pull = house.open("b", push=False)
    assert house.forge().writers(pull) == {house.name(name) for name in ("ada", "grace", "mallory")}
    alone = house.open("alone")
    assert house.forge("grace").writers(alone) == {house.name("ada")}


def test_a_person_who_owns_stands_for_themselves(house: Any) -> None:
    """In lower case, as owners and approvals are compared."""
    assert house.forge().members(house.name("Grace")) == {house.name("grace")}


# --- check ------------------------------------------------------------------------------------------------------------


def test_the_last_verdict_stands_alone(house: Any) -> None:
    """What review says replaces what it said, and is no remark; saying it again changes nothing."""
    pull = house.open("b")
    forge = house.forge()
    forge.check(1, head=pull.head, ok=False, title="Not yet", summary="- no approval")
    said = {"head": pull.head, "ok": True, "title": "May be merged", "summary": "Fine."}
    checked = forge.check(1, **said)
    before = house.tips()
    assert forge.check(1, **said) == checked
    assert house.tips() == before
    assert house.forge("grace").get(1).check == Check(**said)
    assert checked.comments == ()


def test_a_verdict_about_another_head_is_refused(house: Any) -> None:
    """What was judged is no longer what would be merged."""
    pull = house.open("b")
    house.branch("b", content=b"2")
    with pytest.raises(ConflictError, match="moved on"):
        house.forge().check(1, head=pull.head, ok=True, title="t", summary="s")


# --- merge ------------------------------------------------------------------------------------------------------------


def test_a_merge_leaves_testimony_and_no_branch(house: Any) -> None:
    """The message names number and approver, not the author; the branch is gone; merging again changes nothing."""
    pull = house.open("b")
    house.forge("grace").approve(1)
    before = house.main()
    merged = house.forge().merge(1, pull.head)
    info = house.ada.info(house.main())
    assert (merged.state, merged.merged, merged.head) == (State.MERGED, info.sha, pull.head)
    assert info.parents == (before, pull.head)
    assert info.message.startswith("Merge pull request #1: A change\n\n")
    assert info.trailers("Towpath-Pull") == ("1",)
    assert info.trailers("Approved-by") == (house.name("grace"),)
    assert house.ada.tip("refs/heads/b") is None
    assert house.forge().merge(1, pull.head) == house.forge().get(1)
    assert house.main() == info.sha
    with pytest.raises(RefusedError, match="merged"):
        house.forge().close(1, "too late")


def test_a_merge_names_those_whose_approval_counted(house: Any) -> None:
    """As review says, which may be fewer than approved."""
    pull = house.open("b")
    for name in ("grace", "mallory"):
        house.forge(name).approve(1)
    merged = house.forge().merge(1, pull.head, approved_by=(house.name("mallory"),))
    assert house.ada.info(merged.merged).trailers("Approved-by") == (house.name("mallory"),)


def test_a_merge_of_another_head_or_base_than_reviewed_is_a_conflict(house: Any) -> None:
    """What was reviewed is what is merged; main stays where it was."""
    pull, main = house.open("b"), house.main()
    with pytest.raises(ConflictError, match="moved on"):
        house.forge().merge(1, main)
    moved = house.move_main()
    with pytest.raises(ConflictError, match="moved on"):
        house.forge().merge(1, pull.head, expected_base=main)
    assert house.main() == moved
    assert house.forge().get(1).state is State.OPEN
    assert house.forge().merge(1, pull.head, expected_base=moved).state is State.MERGED


def test_a_merge_of_what_clashes_with_main_is_a_conflict(house: Any) -> None:
    """Both changed the same file: nothing is blended."""
    pull = house.open("b")
    moved = house.move_main("b")
    with pytest.raises(ConflictError):
        house.forge().merge(1, pull.head)
    assert (house.main(), house.forge().get(1).state) == (moved, State.OPEN)


def test_a_title_cannot_forge_trailers(house: Any) -> None:
    """A title that looks like a trailer stays in the subject."""
    pull = house.open("b", title=f"Approved-by: {house.name('grace')}")
    merged = house.forge().merge(1, pull.head)
    assert house.ada.info(merged.merged).trailers("Approved-by") == ()


def test_a_merge_by_hand_is_seen_in_main(house: Any) -> None:
    """Main contains the head: the pull request is merged, whoever did it; merging again only tidies up."""
    pull, main = house.open("b"), house.main()
    merge = house.ada.merge(main, pull.head, "Merge pull request #1\n\nTowpath-Pull: 1\n")
    house.ada.push(merge, MAIN, main)
    forge = house.forge("grace")
    assert (forge.get(1).state, forge.get(1).merged) == (State.MERGED, merge)
    assert forge.find("b") is None
    assert forge.merge(1, pull.head).merged == merge
    assert house.main() == merge


# --- close and comment ------------------------------------------------------------------------------------------------


def test_closing_says_why_and_deletes_the_branch(house: Any) -> None:
    """The remark stays; merging what is closed is refused; closing twice is closing once."""
    pull = house.open("b")
    closed = house.forge("grace").close(1, "Superseded by #2")
    assert (closed.state, closed.comments[-1].text, closed.comments[-1].by) == (
        State.CLOSED,
        "Superseded by #2",
        house.name("grace"),
    )
    house.ada.fetch()
    assert house.ada.tip("refs/heads/b") is None
    assert house.forge().close(1, "again") == closed
    assert house.forge().find("b") is None
    with pytest.raises(RefusedError, match="closed"):
        house.forge().merge(1, pull.head)


def test_a_branch_that_vanished_is_a_closed_pull_request(house: Any) -> None:
    """Deleting the branch by hand withdraws the proposal; pushed again, it can be opened."""
    pull = house.open("b")
    house.ada.push(None, "refs/heads/b", pull.head)
    assert house.forge().get(1).state is State.CLOSED
    assert house.forge().find("b") is None
    assert house.open("b").state is State.OPEN


def test_comments_are_kept_in_order(house: Any) -> None:
    """Both people's remarks, each with a name; the same words twice are two remarks."""
    house.open("b")
    house.forge("ada").comment(1, "One\ntwo")
    house.forge("grace").comment(1, "Three")
    pull = house.forge("grace").comment(1, "Three")
    said = [(remark.by, remark.text) for remark in pull.comments]
    assert said == [(house.name("ada"), "One\ntwo"), *[(house.name("grace"), "Three")] * 2]


# --- around -----------------------------------------------------------------------------------------------------------


def test_a_file_of_a_commit_has_a_place(house: Any) -> None:
    """The link ends with the path, or leads to a page with it."""
    assert "docs/plot.png" in house.forge().link(house.main(), "docs/plot.png")


def test_a_deployment_may_be_told_again_and_again(house: Any) -> None:
    """No ref moves, whatever the forge shows of it."""
    before = house.tips()
    for state in (Progress.IN_PROGRESS, Progress.SUCCESS, Progress.SUCCESS):
        house.forge().deployed(commit=house.main(), environment="staging", state=state, description="flights 1.0.0")
    assert house.tips() == before


def test_safeguards_are_told_or_there_are_none(house: Any) -> None:
    """Reading them changes nothing and needs nothing."""
    found = house.forge().safeguards()
    assert found is None or not found.branch.pull_required
