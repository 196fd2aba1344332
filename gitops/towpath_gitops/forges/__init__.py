"""Where pull requests live: one `Protocol`, one row for each forge that fulfils it."""

from collections.abc import Callable
from typing import Final

from towpath_gitops.errors import NotFoundError
from towpath_gitops.forges.base import Forge
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.repository import Repository

FORGES: Final[dict[str, Callable[[Repository], Forge]]] = {
    "local": LocalForge,
}


def open_forge(repository: Repository, name: str = "local") -> Forge:
    """Return the forge called `name` for a repository.

    Raises:
        NotFoundError: there is no such forge.
    """
    if name not in FORGES:
        raise NotFoundError(f"There is no forge called “{name}”", why=f"Known: {', '.join(FORGES)}.")
    return FORGES[name](repository)
