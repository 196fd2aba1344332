# ruff: noqa: ANN401 (houses are made in conftest.py, which cannot be imported)
"""What is peculiar to pull requests on refs: races for a number, and nobody who signs people in."""

import json
from typing import Any

import pytest

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.forges import open_forge
from towpath_gitops.forges.local import PULLS, LocalForge
from towpath_gitops.records.policy import LocalForgeSettings


def test_two_who_open_at_once_get_different_numbers(local_house: Any) -> None:
    """The loser of the race for a number looks again and takes the next; nothing is lost."""
    for name in ("one", "two"):
        local_house.branch(name)

    class Raced(LocalForge):
        """Between looking and opening, somebody else opens, once."""

        def find(self, name: str) -> Any:
            found = super().find(name)
            if not local_house.forge("grace").list():
                local_house.open("two", "grace", push=False)
            return found

    pull = Raced(local_house.ada).open(branch="one", title="t", body="", data="")
    assert (pull.number, pull.branch) == (2, "one")
    assert [pull.branch for pull in local_house.forge().list()] == ["two", "one"]


def test_two_who_open_the_same_in_one_clone_at_once_open_one(local_house: Any) -> None:
    """Another process of this clone opens it after this one has looked: what that pushed is known here, and adopted."""
    local_house.branch("one")

    class Raced(LocalForge):
        """Between looking and opening, another process of the same clone opens the same, once."""

        def find(self, name: str) -> Any:
            found = super().find(name)
            if found is None and not local_house.forge("grace").list():
                LocalForge(local_house.ada).open(branch="one", title="t", body="", data="")
            return found

    pull = Raced(local_house.ada).open(branch="one", title="t", body="", data="")
    assert [pull.number for pull in local_house.forge().list()] == [pull.number] == [1]


def test_two_approvals_at_once_both_count(local_house: Any) -> None:
    """The second to push repeats on top of the first."""
    local_house.open("b")

    class Raced(LocalForge):
        """Between reading and pushing, Grace approves."""

        def _event(self, *arguments: Any) -> str:
            event = super()._event(*arguments)
            local_house.forge("grace").approve(1)
            return event

    Raced(local_house.person("mallory")).approve(1)
    approvals = local_house.forge().get(1).approvals
    assert {approval.by for approval in approvals} == {"grace@example.org", "mallory@example.org"}


def test_editing_pull_json_approves_nothing(local_house: Any) -> None:
    """Approvals and the author are read off the commits, whatever the file claims."""
    pull, ada = local_house.open("b"), local_house.ada
    claim = {"by": "grace@example.org", "head": pull.head, "at": "2026-01-01T00:00:00Z"}
    claim |= {"recorded_by": "grace@example.org"}
    forged = json.dumps(pull.plain() | {"approvals": [claim], "author": "grace@example.org"})
    tip = ada.tip(f"{PULLS}1")
    event = ada.commit([tip], tip, {"pull.json": forged.encode()}, "Approve\n\nApproves: nonsense")
    ada.push(event, f"{PULLS}1", tip)
    read = local_house.forge().get(1)
    assert (read.approvals, read.author) == ((), "ada@example.org")


def test_an_approval_in_another_name_is_no_genuine_one(local_house: Any) -> None:
    """Whoever writes an approval down is known, too."""
    local_house.open("b")
    claim = {"GIT_AUTHOR_NAME": "Grace", "GIT_AUTHOR_EMAIL": "grace@example.org"}
    mallory = local_house.person("mallory")
    forger = type(mallory)(mallory.root, environment={**mallory.environment, **claim})
    (approval,) = LocalForge(forger).approve(1).approvals
    assert (approval.by, approval.recorded_by) == ("grace@example.org", "mallory@example.org")
    assert not approval.is_genuine


def test_a_ref_that_holds_another_pull_request_is_refused(local_house: Any) -> None:
    """A pull request copied under another number does not become a second one."""
    local_house.open("b")
    local_house.ada.push(local_house.ada.tip(f"{PULLS}1"), f"{PULLS}2", None)
    with pytest.raises(InvalidFileError, match="holds pull request #1"):
        local_house.forge().get(2)


def test_a_verdict_that_is_repeated_writes_one_event(local_house: Any) -> None:
    """The chain tells every verdict once."""
    pull, ada = local_house.open("b"), local_house.ada
    before = ada.tip(f"{PULLS}1")
    for _ in range(2):
        local_house.forge().check(1, head=pull.head, ok=True, title="May be merged", summary="Fine.")
    assert ada.info(ada.tip(f"{PULLS}1")).parents == (before,)


def test_the_table_of_forges_opens_what_the_policy_names(local_house: Any) -> None:
    """One row for each forge; without a word in the policy it is the local one."""
    ada = local_house.ada
    assert open_forge(ada) == open_forge(ada, LocalForgeSettings()) == LocalForge(ada)
