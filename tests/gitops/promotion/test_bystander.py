# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Pull requests that release nothing are told from proposals, and nothing that is released passes for one."""

from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.bystander import releases_nothing
from towpath_gitops.promotion.proposal import propose_promotion

STAGING = layout.environment_path("staging", "flights")
DEPLOYMENT = """\
apiVersion: towpath/v1
kind: Deployment
model: another
environment: staging
target: {kind: local, port: 3200}
"""


def _offer(world: Any, edits: dict[str, Any]) -> Pull:
    """Open a pull request with edits of main's files: a text, a function of the old text, or None to remove it."""
    repository = world.person("ada")
    repository.fetch()
    main = repository.main()
    data = {}
    for path, edit in edits.items():
        text = edit(repository.read(main, path)) if callable(edit) else edit
        data[path] = None if text is None else text.encode()
    repository.push(repository.commit([main], main, data, "Work"), "refs/heads/work", None)
    opened: Pull = world.desk().forge.open(branch="work", title="Work", body="", data="")
    return opened


@pytest.mark.parametrize(
    "edits",
    [
        {"src/flights/features.py": "x = 1\n"},
        {layout.POLICY: lambda text: text + "# a remark\n"},
        {STAGING: lambda text: text.replace("port: 3000", "port: 3100")},
        {layout.environment_path("staging", "another"): DEPLOYMENT},
    ],
    ids=["code", "the policy", "what an environment's owner writes", "an environment that serves nothing yet"],
)
def test_what_no_proposal_writes_releases_nothing(world: Any, edits: dict[str, Any]) -> None:
    """Code, the policy, the fields of an environment's owner, and a place that is only prepared."""
    assert releases_nothing(world.ada, _offer(world, edits))


def test_a_proposal_is_no_bystander(world: Any) -> None:
    """Neither is one whose branch also holds code."""
    release = world.register(1)
    pull = propose_promotion(world.desk(), environment="staging", release=release, reason="retrain", now=world.now)
    assert not releases_nothing(world.ada, pull)


@pytest.mark.parametrize(
    "path", [f"{layout.EVIDENCE}/abc/data.json", f"{layout.SIGNATURES}/abc.sig"], ids=["evidence", "a signature"]
)
def test_what_vouches_for_a_release_is_no_bystander(world: Any, path: str) -> None:
    """Evidence and signatures reach main with a promotion or not at all."""
    assert not releases_nothing(world.ada, _offer(world, {path: "{}\n"}))


def test_an_environment_that_serves_is_not_taken_away_unseen(world: Any) -> None:
    """Removing the file of an environment in which a release is declared is judged, and refused, by the review."""
    world.declare("staging", world.register(1))
    assert not releases_nothing(world.ada, _offer(world, {STAGING: None}))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("environment: staging", "environment: production"),
        lambda _: "no: [deployment\n",
        lambda text: text.replace("hold: null", "hold: {blocked: [], reason: x, by: ada, since: 2026-01-01T00:00:00Z}"),
    ],
    ids=["another place", "not YAML", "a hold"],
)
def test_what_cannot_be_told_is_judged(world: Any, edit: Any) -> None:
    """A file that cannot be read, or that writes what only proposals write, passes for nothing."""
    assert not releases_nothing(world.ada, _offer(world, {STAGING: edit}))
