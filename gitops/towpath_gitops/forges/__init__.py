"""Where pull requests live: one `Protocol`, one row for each forge that fulfils it."""

from collections.abc import Callable
from typing import Final

from towpath_gitops.forges.base import Forge
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.repository import Repository

FORGES: Final[dict[str, Callable[[Repository], Forge]]] = {
    "local": LocalForge,
}
