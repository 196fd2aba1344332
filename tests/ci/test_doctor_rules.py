"""The doctor and the forge's own rules: every hole is named, and where there are no rules nothing is called sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath_ci.doctor import inputs
from towpath_ci.doctor.base import Absent, Result, State, diagnose
from towpath_ci.doctor.rules import RULES, least_approvals
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import Safeguards
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy

POLICY = """\
apiVersion: towpath/v1
kind: Policy
environments:
  - {name: staging, approvals: 1}
  - {name: production, approvals: 2}
rollback: {approvals: 1}
"""
# What is open, the check that names it, and the words in which it does.
HOLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "pushes to main": ({"pull_required": False}, "PullRequestsOnly", "can be pushed to"),
    "no required check": ({"checks": ()}, "ReviewRequired", "none"),
    "another check": ({"checks": ("Review",)}, "ReviewRequired", "Review"),
    "no approval": ({"approvals": 0}, "EnoughApprovals", "0, and the policy asks for 1"),
    "approval by anybody": ({"owners_approve": False}, "OwnersApprove", "anybody"),
    "stale approvals": ({"fresh_approvals": False}, "FreshApprovals", "outlives"),
    "stale branches": ({"up_to_date": False}, "BranchesUpToDate", "older main"),
    "force-pushes": ({"rewritable": True}, "HistoryIsKept", "force-pushed"),
    "deletion": ({"deletable": True}, "HistoryIsKept", "deleted"),
    "administrators": ({"bypassed_by": ("administrators", "@lee")}, "NobodyIsAbove", "administrators, @lee"),
}  # fmt: skip
IN_ENVIRONMENTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no reviewers": ("production", {"reviewers": ()}, "LastEnvironmentIsReviewed", "nobody"),
    "reviewers of their own": ("production", {"self_review": True}, "LastEnvironmentIsReviewed", "whoever starts"),
    "any branch": ("staging", {"protected_branches_only": False}, "OnlyMainDeploys", "staging"),
    "an environment that is not there": ("staging", {"name": "another"}, "OnlyMainDeploys", "staging"),
}


def visit(safeguards: Safeguards | Absent, problem: str = "") -> dict[str, Result]:
    """Return what each check of the rules finds, by its name."""
    policy = parse_yaml(POLICY, Policy, source="policy.yaml")
    given: dict[str, Callable[[], Any]] = {
        "safeguards": lambda: safeguards,
        "branch_rules": lambda: safeguards.branch if isinstance(safeguards, Safeguards) else safeguards,
        "rules_problem": lambda: problem,
        "policy": lambda: policy,
    }
    return {result.check: result for result in diagnose(RULES, given)}


def test_rules_that_hold_what_the_policy_relies_on_are_sound(sound: Safeguards) -> None:
    """With every hole closed no check has anything to say."""
    assert {result.state for result in visit(sound).values()} == {State.OK}


def only(check: str, words: str, results: dict[str, Result]) -> None:
    """Assert that one check alone has something to say, in words that hold `words`."""
    assert [name for name, result in results.items() if result.state is not State.OK] == [check]
    assert words in results[check].reason


@pytest.mark.parametrize(("change", "check", "words"), HOLES.values(), ids=HOLES.keys())
def test_every_hole_in_the_rules_of_main_is_named(
    change: dict[str, Any], check: str, words: str, sound: Safeguards
) -> None:
    """A rule that is missing on main fails the check for it, and no other."""
    branch = sound.branch.model_copy(update=change)
    only(check, words, visit(sound.model_copy(update={"branch": branch})))


@pytest.mark.parametrize(
    ("environment", "change", "check", "words"), IN_ENVIRONMENTS.values(), ids=IN_ENVIRONMENTS.keys()
)
def test_every_hole_in_the_rules_of_an_environment_is_named(
    environment: str, change: dict[str, Any], check: str, words: str, sound: Safeguards
) -> None:
    """So does one in who releases a deployment, and from where."""
    changed = [each.model_copy(update=change) if each.name == environment else each for each in sound.environments]
    only(check, words, visit(sound.model_copy(update={"environments": tuple(changed)})))


def test_a_line_of_codeowners_that_protects_nothing_is_named(sound: Safeguards) -> None:
    """What the forge cannot use of CODEOWNERS is told in its own words."""
    broken = sound.model_copy(update={"codeowners_errors": ("line 2: Unknown owner @gone",)})
    only("CodeownersAreUnderstood", "@gone", visit(broken))


def test_what_the_forge_does_not_say_is_not_called_sound(sound: Safeguards) -> None:
    """Whether somebody stands above the rules may be unknown: then the check is skipped, and says why."""
    silent = sound.model_copy(update={"branch": sound.branch.model_copy(update={"bypassed_by": None})})
    result = visit(silent)["NobodyIsAbove"]
    assert (result.state, "does not say" in result.reason) == (State.SKIPPED, True)


@pytest.mark.parametrize(
    ("change", "least"),
    [(("", ""), 1), (("k: {approvals: 1}", "k: {approvals: 0}"), 0), (("approvals: 1}", "approvals: 3}"), 2)],
)
def test_the_forge_need_only_ask_for_what_every_lane_asks_for(change: tuple[str, str], least: int) -> None:
    """A rule for all of main that asked for more would hold up the lane that asks for least."""
    assert least_approvals(parse_yaml(POLICY.replace(*change), Policy, source="policy.yaml")) == least


def test_without_rules_nothing_is_called_sound(repository_root: Path) -> None:
    """On the local forge every check is skipped, in a sentence, and none passes."""
    results = list(diagnose(RULES, inputs.gather(repository_root)))
    assert {result.state for result in results} == {State.SKIPPED}
    assert all("local forge has no rules" in result.reason for result in results)


def test_rules_that_may_not_be_read_are_told_once(repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not read them hears so; whether main is protected is not guessed."""

    def refuse(_: LocalForge) -> Safeguards | None:
        raise RefusedError("The token may not read the rules", hint="Use another one.")

    monkeypatch.setattr(LocalForge, "safeguards", refuse)
    first, *others = diagnose(RULES, inputs.gather(repository_root))
    assert (first.check, first.state) == ("RulesCanBeRead", State.WARN)
    assert "may not read" in first.reason
    assert {result.state for result in others} == {State.SKIPPED}


def test_before_anything_is_published_there_is_no_forge_to_ask(tmp_path: Path) -> None:
    """Outside of a repository, and before the first push, the checks do not apply either."""
    (result, *_) = diagnose(RULES, inputs.gather(tmp_path))
    assert (result.state, result.reason) == (State.SKIPPED, "there is no model repository here")


def test_the_rules_are_asked_for_once(repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen checks cost one question to the forge."""
    asked = []
    monkeypatch.setattr(Workspace, "forge", property(lambda _: asked.append(1) or LocalForge(_.repository)))
    list(diagnose(RULES, inputs.gather(repository_root)))
    assert len(asked) == 1
