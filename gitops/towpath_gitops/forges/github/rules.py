"""The rules that live on GitHub: rulesets, branch protection, CODEOWNERS as GitHub reads it, environments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import BranchRules, EnvironmentRules, Safeguards
from towpath_gitops.forges.github.client import Api, quoted

_Rules = Mapping[str, Sequence[Mapping[str, Any]]]  # type of rule → the parameters of each rule of that type


def safeguards(api: Api, repository: str, branch: str) -> Safeguards:
    """Return the rules of a repository ("owner/name") and of its branch.

    Raises:
        RefusedError: the token may not read them; branch protection needs the right to administer.
        UnavailableError: GitHub does not answer.
    """
    owner = repository.partition("/")[0]
    errors = api.get(f"/repos/{repository}/codeowners/errors", ref=branch)["errors"]
    environments = api.pages(f"/repos/{repository}/environments", key="environments")
    return Safeguards(
        branch=_branch(api, repository, branch),
        codeowners_errors=tuple(f"line {error['line']}: {error['kind']}" for error in errors),
        environments=tuple(_environment(each, owner) for each in environments),
    )


def _branch(api: Api, repository: str, branch: str) -> BranchRules:
    """Return what rulesets and branch protection together enforce: the stricter of both counts."""
    active = list(api.pages(f"/repos/{repository}/rules/branches/{quoted(branch)}"))
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for rule in active:
        rules.setdefault(rule["type"], []).append(rule.get("parameters") or {})
    classic = api.find(f"/repos/{repository}/branches/{quoted(branch)}/protection")
    reviews = (classic or {}).get("required_pull_request_reviews")
    pulls = [*rules.get("pull_request", ()), *([_as_ruleset(reviews)] if reviews else [])]
    checks = list(rules.get("required_status_checks", ()))
    if classic and classic.get("required_status_checks"):
        checks.append(_checks_as_ruleset(classic["required_status_checks"]))
    return BranchRules(
        pull_required=bool(pulls),
        approvals=max((rule["required_approving_review_count"] for rule in pulls), default=0),
        owners_approve=any(rule["require_code_owner_review"] for rule in pulls),
        fresh_approvals=any(
            rule["dismiss_stale_reviews_on_push"] or rule["require_last_push_approval"] for rule in pulls
        ),
        checks=tuple(sorted({each["context"] for rule in checks for each in rule["required_status_checks"]})),
        up_to_date=any(rule["strict_required_status_checks_policy"] for rule in checks),
        rewritable="non_fast_forward" not in rules and _allows(classic, "allow_force_pushes"),
        deletable="deletion" not in rules and _allows(classic, "allow_deletions"),
        bypassed_by=_bypassed_by(api, repository, {rule["ruleset_id"] for rule in active}, classic),
    )


def _as_ruleset(reviews: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return branch protection's words for reviews in those of rulesets."""
    return {
        "required_approving_review_count": reviews.get("required_approving_review_count", 0),
        "require_code_owner_review": reviews["require_code_owner_reviews"],
        "dismiss_stale_reviews_on_push": reviews["dismiss_stale_reviews"],
        "require_last_push_approval": reviews.get("require_last_push_approval", False),
    }


def _checks_as_ruleset(checks: Mapping[str, Any]) -> Mapping[str, Any]:
    contexts = [{"context": each} for each in checks["contexts"]]
    strict = checks.get("strict", False)
    return {"required_status_checks": contexts, "strict_required_status_checks_policy": strict}


def _allows(classic: Mapping[str, Any] | None, what: str) -> bool:
    """Return whether branch protection leaves something open; where there is none, everything."""
    return classic is None or bool((classic.get(what) or {}).get("enabled"))


def _bypassed_by(
    api: Api, repository: str, rulesets: set[int], classic: Mapping[str, Any] | None
) -> tuple[str, ...] | None:
    found: set[str] = set()
    for ruleset in sorted(rulesets):
        try:
            about = api.get(f"/repos/{repository}/rulesets/{ruleset}")
        except RefusedError:
            return None
        if "bypass_actors" not in about:  # left out for whoever may not change the ruleset
            return None
        found |= {" ".join(map(str, filter(None, _actor(each)))) for each in about["bypass_actors"]}
    if classic and not (classic.get("enforce_admins") or {}).get("enabled"):
        found.add("administrators")
    return tuple(sorted(found))


def _actor(actor: Mapping[str, Any]) -> Iterator[object]:
    yield actor["actor_type"]
    yield actor.get("actor_id")


def _environment(about: Mapping[str, Any], owner: str) -> EnvironmentRules:
    rules = [rule for rule in about.get("protection_rules") or () if rule["type"] == "required_reviewers"]
    policy = about.get("deployment_branch_policy") or {}
    return EnvironmentRules(
        name=about["name"],
        reviewers=tuple(_reviewer(each, owner) for rule in rules for each in rule.get("reviewers") or ()),
        self_review=not any(rule.get("prevent_self_review") for rule in rules),
        protected_branches_only=bool(policy.get("protected_branches")),
    )


def _reviewer(about: Mapping[str, Any], owner: str) -> str:
    who = about["reviewer"]
    return f"@{owner}/{who['slug']}" if about["type"] == "Team" else f"@{who['login']}"
