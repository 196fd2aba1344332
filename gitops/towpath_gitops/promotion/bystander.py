"""Pull requests that release nothing: a forge asks for the review of every one, and these have none to wait for.

Code, the policy and what belongs to an environment's owner are not judged by the policy but by the owners whom
CODEOWNERS names, and it is the forge that asks those.
"""

from typing import Any

from towpath_gitops import layout
from towpath_gitops.errors import ConflictError, InvalidFileError
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.records.deployment import PROMOTABLE, parse_deployment
from towpath_gitops.repository import Repository

_PROPOSED_ONLY = (f"{layout.EVIDENCE}/", f"{layout.SIGNATURES}/")
# Whoever looks needs no identity of their own: this commit is never pushed.
_LOOKER = ("Towpath", "review@towpath.invalid")


def releases_nothing(repository: Repository, pull: Pull) -> bool:
    """Return whether merging `pull` into main, as main is now, leaves all that proposals write as it is.

    That is every release, change, hold and experiment of every environment, the evidence and the signatures. What
    cannot be told, because it conflicts with main or an environment's file cannot be read, is no bystander.

    Raises:
        UnavailableError: the remote does not answer.
    """
    main = repository.main()
    if pull.state is not State.OPEN:
        return False
    try:
        merged = repository.acting_as(*_LOOKER).merge(main, pull.head, "Look")
        changed = repository.changed(main, merged)
        if any(path.startswith(_PROPOSED_ONLY) for path in changed):
            return False
        files = [path for path in changed if path.startswith(f"{layout.ENVIRONMENTS}/")]
        return all(_promotable(repository, main, path) == _promotable(repository, merged, path) for path in files)
    except (ConflictError, InvalidFileError):
        return False


def _promotable(repository: Repository, commit: str, path: str) -> dict[str, Any]:
    """Return the part of an environment's file that proposals write; all empty where there is no file."""
    text = repository.read(commit, path)
    if text is None:
        return dict.fromkeys(PROMOTABLE)
    deployment = parse_deployment(text, source=path)
    if layout.environment_path(deployment.environment, deployment.model) != path:
        raise InvalidFileError(f"{path} speaks of another place")
    return {key: deployment.plain()[key] for key in PROMOTABLE}
