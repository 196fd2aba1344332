"""Real git repositories to run verbs in, and a stage on which a small release was trained."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towpath_ci.drills.stage import Stage, scaffold
from towpath_gitops import layout
from towpath_gitops.forges.base import CHECK, BranchRules, EnvironmentRules, Safeguards
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, PinnedRelease, edited, parse_deployment
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

STAGING = layout.environment_path("staging", "canal")


@pytest.fixture
def repository_root(tmp_path: Path) -> Path:
    """Return the root of a fresh model repository with a bare remote beside it; it has no release."""
    return scaffold(tmp_path).root


@pytest.fixture(scope="session")
def sound() -> Safeguards:
    """Return the rules of a forge on which everything is in place that a policy of two environments relies on."""
    branch = BranchRules(
        pull_required=True,
        approvals=1,
        owners_approve=True,
        fresh_approvals=True,
        checks=("Check", CHECK),
        up_to_date=True,
        rewritable=False,
        deletable=False,
        bypassed_by=(),
    )
    staging = EnvironmentRules(name="staging", reviewers=(), self_review=True, protected_branches_only=True)
    reviewed = {"name": "production", "reviewers": ("@acme/risk",), "self_review": False}
    return Safeguards(branch=branch, codeowners_errors=(), environments=(staging, staging.model_copy(update=reviewed)))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a stage whose good release is trained and registered; nothing serves."""
    kept = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    stage = Stage(tmp_path_factory.mktemp("stage"))
    assert stage.good.semver == "1.0.0"
    yield stage
    stage.strike()
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def release() -> Release:
    """Return a release that no registry has."""
    digest = digest_bytes(b"x")
    return Release(model="canal", version=1, semver="1.0.0", artifact=digest, schema=digest, data=digest, code="0" * 40)


@pytest.fixture
def deployment(repository_root: Path, release: Release) -> Deployment:
    """Return staging with the release declared."""
    change = Change(type=ChangeType.PROMOTE, replaces=None, reason="first")
    empty = parse_deployment((repository_root / STAGING).read_text(), source=STAGING)
    return empty.model_copy(update={"release": PinnedRelease.of(release), "change": change})


@pytest.fixture
def declare(repository_root: Path, deployment: Deployment) -> Callable[[], str]:
    """Return a function that lets main declare the release in staging, by hand, and returns the commit."""

    def pushed() -> str:
        repository = Repository.discover(repository_root)
        text = edited((repository_root / STAGING).read_text(), deployment, source=STAGING)
        repository.fetch()
        main = repository.main()
        commit = repository.commit([main], main, {STAGING: text.encode()}, "Declare")
        repository.push(commit, "refs/heads/main", main)
        return commit

    return pushed
