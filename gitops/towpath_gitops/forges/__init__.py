"""Where pull requests live: one `Protocol`, one row for each forge that fulfils it.

Another forge, such as GitLab, is one file in this folder that fulfils `base.Forge`, one record of its settings in
`records.policy`, one row below, and one row in tests/gitops/forges/conftest.py: the suite in test_contract.py beside it
then says whether every promise is kept.
"""

from collections.abc import Callable
from typing import Any, Final

from towpath_gitops.errors import NotFoundError
from towpath_gitops.forges.base import Forge
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.records.policy import ForgeSettings, GitHubSettings, LocalForgeSettings
from towpath_gitops.repository import Repository


def _local(repository: Repository, _: LocalForgeSettings) -> Forge:
    return LocalForge(repository)


def _github(repository: Repository, settings: GitHubSettings) -> Forge:
    from towpath_gitops.forges.github import open_github  # noqa: PLC0415 (only repositories on GitHub need it)

    return open_github(repository, settings)


# By `kind` of the settings, which each row takes as its own type.
FORGES: Final[dict[str, Callable[[Repository, Any], Forge]]] = {
    "local": _local,
    "github": _github,
}
_LOCAL: Final = LocalForgeSettings()


def open_forge(repository: Repository, settings: ForgeSettings = _LOCAL) -> Forge:
    """Return the forge of a repository that its policy names under `forge`.

    Raises:
        NotFoundError: this version cannot speak to such a forge.
        RefusedError: there is no token, or the address is not to be trusted with one.
    """
    if settings.kind not in FORGES:
        raise NotFoundError(f"There is no forge called “{settings.kind}”", why=f"Known: {', '.join(FORGES)}.")
    return FORGES[settings.kind](repository, settings)
