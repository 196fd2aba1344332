"""Checks of the rules that live on the forge: what the policy relies on and no file of the repository can say.

A promotion is worth what main lets through. Where a forge has such rules, these checks hold them against the policy;
where it has none, as the local one, there is nothing to rely on and they do not apply.
"""

from typing import Final

from towpath_ci.doctor.base import Absent, Check, Finding, State
from towpath_gitops.forges.base import CHECK, BranchRules, EnvironmentRules, Safeguards
from towpath_gitops.records.policy import Policy

_APPLY: Final = "gh api --method POST 'repos/{owner}/{repo}/rulesets' --input .github/ruleset.json"
_BRANCH: Final = f"{_APPLY}   (or in the settings: Rules → Rulesets → main →"
_ENVIRONMENT: Final = "in the settings: Environments →"


class RulesCanBeRead(Check):
    """The forge tells its rules."""

    gravity = State.WARN
    mend = "export GITHUB_TOKEN=…   (of somebody who may read the repository's administration)"

    @staticmethod
    def check(rules_problem: str) -> Finding:
        """Unless they are read, nobody knows whether main is protected."""
        return rules_problem or True


class PullRequestsOnly(Check):
    """Main changes by pull request only."""

    mend = f"{_BRANCH} Require a pull request before merging)"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """Whoever may push to main may otherwise release anything without a review."""
        return branch_rules.pull_required or "main can be pushed to"


class ReviewRequired(Check):
    """Main takes only what Towpath's review lets through."""

    mend = f"{_BRANCH} Require status checks to pass → {CHECK})"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """The policy is asked by the review; a merge that does not wait for it asks nobody."""
        required = ", ".join(branch_rules.checks) or "none"
        return CHECK in branch_rules.checks or f"{CHECK} is not among the required checks: {required}"


class EnoughApprovals(Check):
    """The forge asks for as many approvals as every lane of the policy does."""

    mend = f"{_BRANCH} Require a pull request before merging → Required approvals)"

    @staticmethod
    def check(branch_rules: BranchRules, policy: Policy) -> Finding:
        """Its rule holds for all pull requests alike: it asks for what every lane asks for, the review for the rest."""
        needed = least_approvals(policy)
        return (
            branch_rules.approvals >= needed or f"{branch_rules.approvals}, and the policy asks for {needed} at least"
        )


class OwnersApprove(Check):
    """An approval must come from the owners of the files."""

    mend = f"{_BRANCH} Require a pull request before merging → Require review from Code Owners)"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """Else anybody's approval lets changes of CODEOWNERS, of the policy and of the workflows pass."""
        return branch_rules.owners_approve or "anybody who may write may approve"


class FreshApprovals(Check):
    """A push undoes the approvals before it."""

    mend = f"{_BRANCH} Require a pull request before merging → Dismiss stale approvals when new commits are pushed)"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """Else what is merged may be other than what was approved."""
        return branch_rules.fresh_approvals or "an approval outlives the commit that it was given to"


class BranchesUpToDate(Check):
    """A branch must hold main as it is now before it is merged."""

    gravity = State.WARN
    mend = f"{_BRANCH} Require status checks to pass → Require branches to be up to date; or merge with: towpath merge)"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """A verdict is about main as it was then; `towpath merge` asks once more, the forge's own button does not."""
        return branch_rules.up_to_date or "a verdict about an older main still counts"


class HistoryIsKept(Check):
    """Nobody rewrites or deletes main."""

    mend = f"{_BRANCH} Block force pushes, and Restrict deletions)"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """Main's history is the testimony of who released what; a reconciler stops where it was rewritten."""
        allowed = {"it can be force-pushed": branch_rules.rewritable, "it can be deleted": branch_rules.deletable}
        return ", ".join(hole for hole, is_open in allowed.items() if is_open) or True


class NobodyIsAbove(Check):
    """The rules of main hold for everybody, administrators included."""

    mend = "in the settings: Rules → Rulesets → main → Bypass list: leave it empty"

    @staticmethod
    def check(branch_rules: BranchRules) -> Finding:
        """Who may pass by a rule is not bound by it, nor is whoever takes over their account."""
        if branch_rules.bypassed_by is None:
            return Absent("the forge does not say who may pass by the rules")
        above = ", ".join(branch_rules.bypassed_by)
        return f"{above} may pass by them" if above else True


class CodeownersAreUnderstood(Check):
    """The forge can use every line of CODEOWNERS."""

    mend = "git diff origin/main -- .github/CODEOWNERS   (the owners must exist, and may write to the repository)"

    @staticmethod
    def check(safeguards: Safeguards) -> Finding:
        """A line that it cannot use protects nothing: an owner who does not exist is asked by nobody."""
        return "\n".join(safeguards.codeowners_errors) or True


class LastEnvironmentIsReviewed(Check):
    """A person releases each deployment to the last environment."""

    gravity = State.WARN
    mend = f"{_ENVIRONMENT} the last one of gitops/policy.yaml → Required reviewers, without self-review"

    @staticmethod
    def check(safeguards: Safeguards, policy: Policy) -> Finding:
        """Approvals are about a change; the reviewers of an environment decide when it happens."""
        rules = _rules_of(safeguards, policy.last.name)
        if rules is None or not rules.reviewers:
            return f"nobody is asked before {policy.last.name} is deployed to"
        return not rules.self_review or f"whoever starts a deployment to {policy.last.name} may release it"


class OnlyMainDeploys(Check):
    """Only protected branches deploy to an environment."""

    gravity = State.WARN
    mend = f"{_ENVIRONMENT} each of gitops/policy.yaml → Deployment branches: Protected branches only"

    @staticmethod
    def check(safeguards: Safeguards, policy: Policy) -> Finding:
        """Else a workflow on anybody's branch gets the environment's secrets and its role in the cloud."""
        found = {environment.name: _rules_of(safeguards, environment.name) for environment in policy.environments}
        open_to_all = [name for name, rules in found.items() if rules is None or not rules.protected_branches_only]
        return f"any branch may deploy to {', '.join(open_to_all)}" if open_to_all else True


RULES: Final[tuple[type[Check], ...]] = (
    RulesCanBeRead,
    PullRequestsOnly,
    ReviewRequired,
    EnoughApprovals,
    OwnersApprove,
    FreshApprovals,
    BranchesUpToDate,
    HistoryIsKept,
    NobodyIsAbove,
    CodeownersAreUnderstood,
    LastEnvironmentIsReviewed,
    OnlyMainDeploys,
)


def least_approvals(policy: Policy) -> int:
    """Return the number of approvals that no lane of the policy goes below."""
    hotfix = [policy.hotfix.approvals] if policy.hotfix else []
    return min(policy.rollback.approvals, *hotfix, *(environment.approvals for environment in policy.environments))


def _rules_of(safeguards: Safeguards, environment: str) -> EnvironmentRules | None:
    return next((rules for rules in safeguards.environments if rules.name == environment), None)
