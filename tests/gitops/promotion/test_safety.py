# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Where an environment could go back to right now, and for each release why not."""

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops.errors import UnavailableError
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.change import rollback
from towpath_gitops.promotion.safety import rollback_target, safe_returns
from towpath_gitops.records.evidence import Verdict


def _served(world: Any, *releases: Any) -> Any:
    """Let staging declare these one after the other, each verified; return what it declares in the end."""
    for position, release in enumerate(releases):
        world.declare("staging", release)
        world.record("staging", release, ago=timedelta(hours=10 - position))
    return declared.deployment(world.ada, world.ada.main(), "staging", "flights")


def _rules(found: Any) -> list[tuple[int, list[str]]]:
    return [(each.release.version, [reason.rule for reason in each.reasons]) for each in found]


def test_every_candidate_is_told_with_its_reasons(world: Any) -> None:
    """The newest that is safe comes first; red, forgotten and blocked ones say why they are not; not what serves."""
    good, forgotten, red, bad, current = (world.register(version) for version in (1, 2, 3, 4, 5))
    _served(world, good, forgotten, red)
    world.record("staging", red, Verdict.FAIL, ago=timedelta(0), applied=False)
    deployment = _served(world, bad, current)
    shutil.rmtree(world.store.root / "2")
    held = rollback(_declaring(deployment, bad), current, "late", "ada@example.org", world.now)
    found = safe_returns(world.desk(), held)
    assert _rules(found) == [(4, ["blocked"]), (2, ["artifact"]), (1, []), (3, ["verified_here"])]
    assert rollback_target(world.desk(), held) == good


def _declaring(deployment: Any, release: Any) -> Any:
    """Return the deployment as if it declared `release`."""
    pinned = deployment.release.of(release)
    return deployment.model_copy(update={"release": pinned})


def test_a_release_that_was_never_verified_here_is_told_as_such(world: Any) -> None:
    """It was declared and applied, and nobody asked it its golden requests with success."""
    first, second = world.register(1), world.register(2)
    world.declare("staging", first)
    world.record("staging", first, Verdict.ERROR)
    deployment = _served(world, second)
    (found,) = safe_returns(world.desk(), deployment)
    assert (found.release, [reason.rule for reason in found.reasons]) == (first, ["verified_here"])
    assert "its latest verification says error" in str(found.reasons[0])


def test_only_as_many_as_asked_for_are_looked_at(world: Any) -> None:
    """A long history costs no more than a short one."""
    deployment = _served(world, *(world.register(version) for version in (1, 2, 3, 4)))
    assert _rules(safe_returns(world.desk(), deployment, at_most=2)) == [(3, []), (2, [])]
    assert safe_returns(world.desk("grace"), deployment, at_most=0) == []


class Dark:
    """A registry that does not answer; `here` is what was fetched from it before."""

    def __init__(self, store: Any, *, here: bool) -> None:
        """Answer nothing, or only from what is here."""
        self.store, self.here = store, here

    def find(self, *_: object) -> Any:
        """Fail as a registry does that is down."""
        raise UnavailableError("The registry does not answer")

    def fetch(self, release: Any, folder: Any) -> Any:
        """Return what lies here already."""
        if not self.here:
            raise UnavailableError("The registry does not answer")
        return self.store.fetch(release, folder)


def test_the_way_back_works_while_the_registry_is_down(world: Any) -> None:
    """Files that were fetched before and have their digest are enough; without them nobody can say, and says so."""
    good, bad = world.register(1), world.register(2)
    deployment = _served(world, good, bad)
    assert rollback_target(replace(world.desk(), store=Dark(world.store, here=True)), deployment) == good
    with pytest.raises(UnavailableError):
        rollback_target(replace(world.desk(), store=Dark(world.store, here=False)), deployment)
