"""What a commit declares: its policy, its environment files, its evidence and its gates."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.promotion.pictures import PICTURES
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, gate_digest
from towpath_gitops.records.parsing import load_yaml, parse_json, parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository


def policy(repository: Repository, commit: str) -> Policy:
    """Return the policy of a commit.

    Raises:
        NotFoundError: it has none.
        InvalidFileError: it is not one.
    """
    return parse_yaml(_text(repository, commit, layout.POLICY), Policy, source=layout.POLICY)


def deployment_text(repository: Repository, commit: str, environment: str, model: str) -> str:
    """Return the environment file of a commit as it is written.

    Raises:
        NotFoundError: there is none; names the environments that have one for the model.
    """
    return _text(repository, commit, layout.environment_path(environment, model))


def deployment(repository: Repository, commit: str, environment: str, model: str) -> Deployment:
    """Return what a commit declares for a model in an environment.

    Raises:
        NotFoundError: there is no such file.
        InvalidFileError: it is not a deployment, or speaks of another environment or model than its path.
    """
    path = layout.environment_path(environment, model)
    found = parse_deployment(deployment_text(repository, commit, environment, model), source=path)
    return checked_place(found, environment, model)


def checked_place(found: Deployment, environment: str, model: str) -> Deployment:
    """Return the deployment when it speaks of the environment and model that its path names.

    Raises:
        InvalidFileError: it does not.
    """
    if (found.environment, found.model) != (environment, model):
        raise InvalidFileError(
            f"{layout.environment_path(environment, model)} speaks of another place",
            why=f"It says {found.model} in {found.environment}.",
        )
    return found


def champion(repository: Repository, commit: str, model: str) -> str | None:
    """Return the id of the release that a commit declares in the last environment; None when nothing is.

    Raises:
        InvalidFileError: that environment file or the policy is broken.
    """
    found = crowned(repository, commit, model)
    return found.id if found else None


def crowned(repository: Repository, commit: str, model: str) -> Release | None:
    """Return the release that a commit declares in the last environment; None when nothing is.

    Raises:
        InvalidFileError: that environment file or the policy is broken.
    """
    path = layout.environment_path(policy(repository, commit).last.name, model)
    text = repository.read(commit, path)
    return parse_deployment(text, source=path).declared if text is not None else None


def evidence(repository: Repository, commit: str, release: str) -> dict[Kind, Evidence]:
    """Return the evidence that a commit holds for the release with the id `release`, by kind.

    Raises:
        InvalidFileError: a file is not evidence, or not of the kind that its name says.
    """
    found: dict[Kind, Evidence] = {}
    for path in repository.list(commit, layout.evidence_folder(short(release))):
        if PurePosixPath(path).name in PICTURES:
            continue
        name = PurePosixPath(path).stem
        item = parse_json(repository.read_bytes(commit, path) or b"", Evidence, source=path)
        if item.kind != name:
            raise InvalidFileError(f"{path} holds {item.kind} evidence")
        found[item.kind] = item
    return found


def gates(repository: Repository, commit: str) -> Mapping[Kind, str]:
    """Return the digest of the gate configuration that a commit's model.yaml has for each kind of evidence.

    Raises:
        NotFoundError: there is no model.yaml.
        InvalidFileError: it is not a mapping.
    """
    document = load_yaml(_text(repository, commit, layout.MODEL), source=layout.MODEL)
    if not isinstance(document, Mapping):
        raise InvalidFileError(f"{layout.MODEL} is empty or not a mapping")
    return {kind: gate_digest(document, kind) for kind in Kind}


def _text(repository: Repository, commit: str, path: str) -> str:
    text = repository.read(commit, path)
    if text is None:
        near = sorted(name for name in repository.list(commit, layout.GITOPS) if name.endswith(".yaml"))
        raise NotFoundError(
            f"There is no {path} on the main branch",
            why=f"There are {', '.join(near)}." if near else "It has no gitops folder.",
            hint="Commit it and push.",
        )
    return text
