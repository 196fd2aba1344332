from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.errors import InvalidFileError, RefusedError
from towpath_gitops.promotion.change import (
    Lane,
    experiment,
    hold,
    lane,
    one_line,
    promote,
    repackage,
    rollback,
    subject,
)
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType, Deployment, edited, parse_deployment
from towpath_gitops.records.release import Release

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXT = """\
# yaml-language-server: $schema=x.json
apiVersion: towpath/v1
kind: Deployment
model: flights
environment: staging
# Written by pull requests:
release: null
change: null
hold: null
experiment: null
# Yours:
target: {kind: local, port: 3000, workers: 2} # two are enough
rollout: {strategy: canary, steps: [0.1, 1.0], soak: 30s}
"""


def _release(version: int, model: str = "flights") -> Release:
    digests = dict.fromkeys(("artifact", "schema", "data"), digest_of(version))
    return Release(model=model, version=version, semver=f"1.{version}.0", code="a" * 40, **digests)


FIRST, SECOND = _release(1), _release(2)


@pytest.fixture
def empty() -> Deployment:
    """A deployment before its first promotion."""
    return parse_deployment(TEXT, source="x.yaml")


def test_a_promotion_states_what_it_replaces(empty: Deployment) -> None:
    """Nothing at first, then the release before."""
    once = promote(empty, FIRST, "first", digest_of(1))
    twice = promote(once, SECOND, "second", digest_of(2))
    assert (once.declared, once.change.replaces, once.change.evidence) == (FIRST, None, digest_of(1))
    assert (twice.declared, twice.change.replaces, twice.change.type) == (SECOND, FIRST.id, ChangeType.PROMOTE)


def test_a_rollback_blocks_what_it_leaves_and_keeps_what_was_blocked(empty: Deployment) -> None:
    """Back once, forward, back again: both bad releases stay blocked, and a promotion does not lift that."""
    third = _release(3)
    twice = promote(promote(empty, FIRST, "a", None), SECOND, "b", None)
    back = rollback(twice, FIRST, "late", "ada@example.org", NOW)
    assert (back.declared, back.change.type, back.change.evidence) == (FIRST, ChangeType.ROLLBACK, None)
    assert (back.blocked, back.hold.by, back.hold.since) == ((SECOND.id,), "ada@example.org", NOW)
    again = rollback(promote(back, third, "c", None), FIRST, "late again", "ada@example.org", NOW)
    assert again.blocked == (SECOND.id, third.id)


def test_what_makes_no_sense_is_refused(empty: Deployment) -> None:
    """The same release again, another model's release, a way back from nothing."""
    once = promote(empty, FIRST, "first", None)
    with pytest.raises(RefusedError, match="already"):
        promote(once, FIRST, "again", None)
    with pytest.raises(RefusedError, match="not a release of flights"):
        promote(once, _release(2, "boats"), "x", None)
    with pytest.raises(RefusedError, match="Nothing runs"):
        rollback(empty, FIRST, "x", "ada@example.org", NOW)


def test_nothing_is_held_tried_or_repackaged_where_nothing_serves(empty: Deployment) -> None:
    """An empty environment has no champion; the error says to promote first."""
    for edit in (
        lambda: hold(empty, FIRST, "x", "ada@example.org", NOW),
        lambda: experiment(empty, FIRST, mode="ab", share=0.1, reason="x", evidence=None),
        lambda: repackage(empty, f"x@{digest_of(1)}", "x"),
    ):
        with pytest.raises(RefusedError, match="Nothing is declared"):
            edit()
    assert subject(empty, empty) is None


def test_a_hotfix_is_a_promotion_by_another_name(empty: Deployment) -> None:
    """It writes the very same fields, and goes by a lane of its own."""
    plain, hot = promote(empty, FIRST, "a", None), promote(empty, FIRST, "a", None, hotfix=True)
    assert hot.change == plain.change.model_copy(update={"type": ChangeType.HOTFIX})
    assert (lane(empty, plain), lane(empty, hot)) == (Lane.FORWARD, Lane.HOTFIX)


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "a\x00b", "a\x85b", "a\u2028b", "a\u202eb", "x" * 501])
def test_a_reason_is_one_visible_line(empty: Deployment, reason: str) -> None:
    """Line breaks of any kind, invisible controls and essays are refused with a hint."""
    with pytest.raises(InvalidFileError, match="one line"):
        promote(empty, FIRST, reason, None)


@given(st.text())
def test_hostile_reasons_are_refused_or_survive_byte_for_byte(reason: str) -> None:
    """Written into the file and read back, a reason is the same text and adds no key."""
    empty = parse_deployment(TEXT, source="x.yaml")
    try:
        line = one_line(reason)
    except InvalidFileError:
        return
    after = promote(empty, FIRST, reason, None)
    read = parse_deployment(edited(TEXT, after, source="x.yaml"), source="x.yaml")
    assert read == after
    assert read.change.reason == line


@given(reason=st.text(max_size=40), by=st.text(max_size=40))
def test_hostile_words_in_a_hold_are_refused_or_survive_byte_for_byte(reason: str, by: str) -> None:
    """Why and by whom stand in the file as they were said, and add no key."""
    serving = promote(parse_deployment(TEXT, source="x.yaml"), FIRST, "first", None)
    text = edited(TEXT, serving, source="x.yaml")
    try:
        after = hold(serving, SECOND, reason, by, NOW)
    except (InvalidFileError, ValueError):
        return
    read = parse_deployment(edited(text, after, source="x.yaml"), source="x.yaml")
    assert read == after
    assert (read.hold.by, read.hold.reason) == (by, reason.strip())


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=6))
def test_edits_keep_the_owners_fields_comments_and_order(versions: list[int]) -> None:
    """After any row of promotions and rollbacks the owner's lines are what they were."""
    text = TEXT
    for version in versions:
        before = parse_deployment(text, source="x.yaml")
        if before.declared == _release(version):
            continue
        blocked = _release(version).id in before.blocked
        after = (
            rollback(before, _release(version), "back", "a@b.c", NOW)
            if blocked
            else promote(before, _release(version), "on", None)
        )
        text = edited(text, after, source="x.yaml")
        assert parse_deployment(text, source="x.yaml") == after
    for line in TEXT.splitlines():
        if line.partition(":")[0] not in {"release", "change", "hold", "experiment"}:
            assert line in text.splitlines()
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys == [line.partition(":")[0] for line in TEXT.splitlines() if line[:1].isalpha()]


def test_an_edit_of_owned_fields_is_refused(empty: Deployment) -> None:
    """`edited` writes the promotable block and nothing else."""
    other = parse_deployment(TEXT.replace("3000", "3001"), source="x.yaml")
    with pytest.raises(InvalidFileError, match="environment-owned"):
        edited(TEXT, promote(other, FIRST, "x", None), source="x.yaml")
    assert edited(TEXT, empty, source="x.yaml") == TEXT


def test_missing_promotable_keys_are_inserted_in_their_place(empty: Deployment) -> None:
    """A hand-made file without `hold:` and friends gets them after the environment."""
    short = "\n".join(
        line for line in TEXT.splitlines() if not line.startswith(("hold", "experiment", "release", "change"))
    )
    text = edited(short + "\n", promote(empty, FIRST, "x", None), source="x.yaml")
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys == [
        "apiVersion",
        "kind",
        "model",
        "environment",
        "release",
        "change",
        "hold",
        "experiment",
        "target",
        "rollout",
    ]
