"""What main declares for one model in one environment, read from a commit and never from the working tree."""

from dataclasses import dataclass
from typing import Any

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.records.release import Release
from towpath_gitops.repository import CommitInfo, Repository

PULL_TRAILER = "Towpath-Pull"
APPROVAL_TRAILER = "Approved-by"
_LONGEST = 500


@dataclass(frozen=True)
class Declared:
    """A deployment that names a release, and the commit of main that says so."""

    deployment: Deployment
    release: Release
    commit: str
    info: CommitInfo
    author: str  # email of who proposed it: the author of what was merged

    def facts(self) -> dict[str, Any]:
        """Return what the ledger repeats of the declaration, by the names of its fields."""
        change, experiment = self.deployment.change, self.deployment.experiment
        pulls = [value for value in self.info.trailers(PULL_TRAILER) if value.isdecimal() and int(value)]
        return {
            "release": self.release.id,
            "change": change.type if change else None,
            "replaces": change.replaces if change else None,
            "reason": change.reason if change else None,
            "evidence": change.evidence if change else None,
            "challenger": experiment.challenger.id if experiment else None,
            "share": experiment.share if experiment else None,
            "pull": int(pulls[-1]) if pulls else None,
            "author": _line(self.author) or None,
            "approved_by": tuple(filter(None, map(_line, self.info.trailers(APPROVAL_TRAILER)))),
        }


def read_deployment(repository: Repository, commit: str, environment: str, model: str) -> Deployment | None:
    """Return an environment file as it is in a commit, or None when it is not there.

    Raises:
        InvalidFileError: it cannot be read, or speaks of another environment or model than its place says.
    """
    path = layout.environment_path(environment, model)
    text = repository.read(commit, path)
    if text is None:
        return None
    deployment = parse_deployment(text, source=path)
    if (deployment.environment, deployment.model) != (environment, model):
        raise InvalidFileError(
            f"{path} speaks of {deployment.model} in {deployment.environment}",
            why="An environment file's place and its words must name the same model and environment.",
        )
    return deployment


def declared_at(repository: Repository, commit: str, environment: str, model: str) -> Declared | None:
    """Return what a commit of main declares, or None when it declares no release.

    Raises:
        InvalidFileError: as `read_deployment`.
    """
    deployment = read_deployment(repository, commit, environment, model)
    if deployment is None or deployment.declared is None:
        return None
    info = repository.info(commit)
    author = repository.info(info.parents[1]).author if len(info.parents) > 1 else info.author
    return Declared(deployment, deployment.declared, commit, info, author)


def _line(text: str) -> str:
    """Return text as the ledger takes it: anybody may write anything into a commit."""
    return "".join(character for character in text if character.isprintable())[:_LONGEST]
