# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""The local forge with thousands of pull requests, in old formats, and under many hands at once."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath_gitops.errors import ConflictError, InvalidFileError, RefusedError
from towpath_gitops.forges.archive import SETTLED, Archive, path_of
from towpath_gitops.forges.base import State
from towpath_gitops.forges.local import LATEST, PULLS, LocalForge
from towpath_gitops.git import Git

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
from settled_pulls import settle_many


@pytest.fixture
def house(local_house: Any) -> Any:
    """Only the local forge keeps an archive."""
    return local_house


def test_an_open_pull_request_has_a_ref_and_a_settled_one_a_file(house: Any) -> None:
    """What is merged or closed leaves the refs in the very push that settles it, with its whole chain."""
    merged, closed, still = (house.open(name) for name in ("merged", "closed", "still"))
    chain = {number: house.ada.tip(f"{PULLS}{number}") for number in (1, 2)}
    house.forge().merge(merged.number, merged.head)
    house.forge().close(closed.number, "No.")
    assert house.refs(PULLS) == {f"{PULLS}3"}
    assert [pull.state for pull in house.forge().list()] == [State.MERGED, State.CLOSED, State.OPEN]
    archive = Archive(house.ada)
    for number, before in chain.items():
        settled = archive.find(number)
        assert settled
        assert house.ada.is_ancestor(before, settled.tip)
        assert house.ada.is_ancestor(settled.tip, archive.tip)
    assert house.forge().get(2).comments[-1].text == "No."
    assert house.forge().get(2).address == f"{SETTLED}:0/00/02.json"
    assert house.forge().find(still.branch) == still


def test_a_number_is_never_given_twice(house: Any) -> None:
    """Not even when the latest pull request is gone from the refs before the next is opened."""
    pull = house.open("one")
    house.forge().close(pull.number, "No.")
    assert house.open("one").number == 2


def test_an_opener_who_looked_before_the_last_was_settled_takes_the_next_number(house: Any) -> None:
    """Its ref is free again, and still somebody else had that number."""
    house.branch("late")

    class Raced(LocalForge):
        """Between looking and opening, somebody opens and closes, once."""

        def _event(self, *arguments: Any) -> str:
            event = super()._event(*arguments)
            if not house.forge("grace").list():
                house.forge("grace").close(house.open("early", "grace").number, "No.")
            return event

    pull = Raced(house.person("ada")).open(branch="late", title="t", body="", data="")
    assert pull.number == 2
    assert [found.branch for found in house.forge().list()] == ["early", "late"]


def test_a_remark_after_the_end_is_kept(house: Any) -> None:
    """What is settled stays in the archive and grows there."""
    pull = house.open("one")
    house.forge().merge(pull.number, pull.head)
    house.forge("grace").comment(pull.number, "Thanks.")
    assert house.forge().get(pull.number).comments[-1].text == "Thanks."
    assert house.refs(PULLS) == set()


def test_a_push_that_the_remote_refuses_settles_nothing(house: Any) -> None:
    """Main, the branch, the pull request and the archive move together or not at all."""
    pull = house.open("one")
    hook = house.remote / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\ntest "$1" != {SETTLED}\n')
    hook.chmod(0o755)
    main = house.main()
    with pytest.raises((RefusedError, ConflictError)):
        house.forge().merge(pull.number, pull.head)
    hook.unlink()
    assert (house.main(), house.forge().get(pull.number)) == (main, pull)
    assert house.forge().merge(pull.number, pull.head).state is State.MERGED


def test_refs_of_an_older_version_read_right(house: Any) -> None:
    """A settled pull request that still has a ref of its own counts, and moves with its next event."""
    for name in ("one", "two"):
        house.forge().close(house.open(name).number, "No.")
    for number in (1, 2):
        house.ada.push(Archive(house.ada).find(number).tip, f"{PULLS}{number}", None)
    for ref in (SETTLED, LATEST):
        house.ada.push(None, ref, house.ada.tip(ref))
    forge = house.forge()
    assert [(pull.number, pull.state) for pull in forge.list()] == [(1, State.CLOSED), (2, State.CLOSED)]
    assert forge.list(State.OPEN) == []
    assert house.open("three").number == 3
    forge.comment(1, "Still true.")
    assert house.refs(PULLS) == {f"{PULLS}2", f"{PULLS}3"}
    assert [comment.text for comment in forge.get(1).comments] == ["No.", "Still true."]


def test_an_archive_file_that_speaks_of_another_is_refused(house: Any) -> None:
    """A file copied under another number does not become another pull request."""
    house.forge().close(house.open("one").number, "No.")
    tip = house.ada.tip(SETTLED)
    copied = house.ada.commit([tip], tip, {path_of(7): house.ada.read_bytes(tip, path_of(1))}, "Copy")
    house.ada.push(copied, SETTLED, tip)
    with pytest.raises(InvalidFileError, match="holds pull request #1"):
        house.forge().get(7)
    with pytest.raises(InvalidFileError, match="holds pull request #1"):
        house.forge().list()


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "merge", "comment"]), st.integers(0, 2)), max_size=9))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_events_leaves_what_a_list_would(
    fresh_house: Callable[[], Any], steps: list[tuple[str, int]]
) -> None:
    """Against a model in memory: states, numbers and remarks agree, and only what is open has a ref."""
    house = fresh_house()
    model: list[list[Any]] = []  # of branch, state, remarks
    for step, which in steps:
        branch = f"b{which}"
        known = [number for number, (name, state, _) in enumerate(model, 1) if (name, state) == (branch, State.OPEN)]
        if step == "open":
            house.open(branch, content=str(len(model)).encode())
            if not known:
                model.append([branch, State.OPEN, 0])
        for number in known:
            if step == "close":
                house.forge("grace").close(number, "No.")
                model[number - 1][1:] = [State.CLOSED, model[number - 1][2] + 1]
            elif step == "merge":
                house.forge().merge(number, house.forge().get(number).head)
                model[number - 1][1] = State.MERGED
            elif step == "comment":
                house.forge().comment(number, "Hm.")
                model[number - 1][2] += 1
    found = [house.forge("grace").get(number) for number in range(1, len(model) + 1)]
    assert [[pull.branch, pull.state, len(pull.comments)] for pull in found] == model
    assert [pull.state for pull in house.forge().list()] == [state for _, state, _ in model]
    open_ones = {f"{PULLS}{number}" for number, (_, state, _) in enumerate(model, 1) if state is State.OPEN}
    assert house.refs(PULLS) == open_ones


def test_many_who_open_and_settle_at_once_lose_nothing(house: Any) -> None:
    """Each has a clone: every number is given once, everything is settled as its owner settled it."""

    def work(name: str) -> list[tuple[int, State]]:
        forge = LocalForge(house.clone(name))
        done = []
        for turn in range(3):
            branch = house.branch(f"{name}{turn}", path=f"{name}{turn}", repository=forge.repository)
            pull = _patiently(lambda branch=branch: forge.open(branch=branch, title=branch, body="", data=""))
            act = forge.close if turn % 2 else lambda number, head=pull.head: forge.merge(number, head)
            settled = _patiently(lambda act=act, pull=pull: act(pull.number, *(["No."] if act == forge.close else [])))
            done.append((settled.number, settled.state))
        return done

    with ThreadPoolExecutor(3) as pool:
        done = dict(pair for pairs in pool.map(work, ("ada", "grace", "mallory")) for pair in pairs)
    assert sorted(done) == list(range(1, 10))
    assert {pull.number: pull.state for pull in house.forge().list()} == done
    assert house.refs(PULLS) == set()
    house.ada.git.run("fsck", "--strict", "--no-dangling")


def _patiently(act: Callable[[], Any]) -> Any:
    """Do as the hint of a lost race says: run it again."""
    for _ in range(40):
        try:
            return act()
        except ConflictError:
            continue
    raise AssertionError


def test_thousands_of_settled_ones_cost_a_new_one_nothing(
    fresh_house: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open, find and close takes as many git commands at 2,200 past pull requests as at 120."""
    counts = {}
    for past in (120, 2_200):
        house = fresh_house()
        settle_many(house.remote, past, head=house.main())
        house.branch("b")
        with monkeypatch.context() as patch:
            calls = _counted(patch)
            pull = house.open("b", push=False)
            assert house.forge().list(State.OPEN) == [house.forge().find("b")] == [pull]
            house.forge().close(pull.number, "No.")
        # An index of all files of the archive would grow with them.
        assert {call[1] for call in calls if call[0] == "read-tree"} == {"--empty"}
        assert pull.number == past + 1
        assert len(house.forge().list()) == past + 1
        assert house.forge().get(past).state is State.CLOSED
        counts[past] = len(calls)
    assert counts[2_200] == counts[120]


def _counted(patch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return a list that fills with the git commands that are run."""
    calls: list[tuple[str, ...]] = []
    attempt = Git.attempt

    def counting(git: Git, *arguments: str, **options: Any) -> Any:
        calls.append(arguments)
        return attempt(git, *arguments, **options)

    patch.setattr(Git, "attempt", counting)
    return calls
