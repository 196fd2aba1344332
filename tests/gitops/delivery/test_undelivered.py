"""What waits for its delivery is told from what was delivered, so that mending never delivers."""

from typing import TYPE_CHECKING

from towpath_gitops.delivery.undelivered import is_undelivered

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World


def test_only_what_was_applied_once_is_there_to_be_mended(world: "World", publish: "Publish") -> None:
    """Nothing declared waits for nothing; a declaration waits until it was applied, and so does the next."""
    first = publish(0.0)

    def waits() -> bool:
        world.repository.fetch()
        return is_undelivered(world.repository, "staging", world.model)

    assert not waits()
    world.declare(first)
    assert waits()
    world.reconcile()
    assert not waits()
    world.target().stop()
    assert not waits()
    world.declare(publish(1.0))
    assert waits()
    world.declare(first)
    assert waits()
