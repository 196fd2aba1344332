"""The edits that a promotion may make to a deployment. Pure: a deployment and a wish become a new deployment."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from towpath_gitops.errors import InvalidFileError, RefusedError
from towpath_gitops.records.base import Line
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, Hold, PinnedRelease
from towpath_gitops.records.release import Release

_LINE: TypeAdapter[str] = TypeAdapter(Line)


def promote(
    deployment: Deployment, release: Release, reason: str, evidence: str | None, *, image: str | None = None
) -> Deployment:
    """Return the deployment that declares `release`, resting on the bundle of evidence with the digest `evidence`.

    What is blocked stays blocked; an experiment ends, because its champion is replaced.

    Raises:
        RefusedError: the release is declared already, or is of another model.
        InvalidFileError: the reason is not one line.
    """
    _check(deployment, release)
    change = Change(type=ChangeType.PROMOTE, replaces=_current(deployment), reason=one_line(reason), evidence=evidence)
    return _with(deployment, {"release": PinnedRelease.of(release, image), "change": change, "experiment": None})


def rollback(  # noqa: PLR0913 (who, what, why and when are the least that a rollback must say)
    deployment: Deployment, to: Release, reason: str, by: str, now: datetime, *, image: str | None = None
) -> Deployment:
    """Return the deployment that declares the earlier release `to` and blocks the one that it leaves.

    Raises:
        RefusedError: `to` is declared already, is of another model, or nothing is declared to leave.
        InvalidFileError: the reason is not one line.
    """
    _check(deployment, to)
    bad = _current(deployment)
    if bad is None:
        raise RefusedError(f"Nothing runs in {deployment.environment} yet that could be rolled back")
    line = one_line(reason)
    hold = Hold(blocked=tuple(dict.fromkeys((*deployment.blocked, bad))), reason=line, by=by, since=now)
    change = Change(type=ChangeType.ROLLBACK, replaces=bad, reason=line)
    values = {"release": PinnedRelease.of(to, image), "change": change, "hold": hold, "experiment": None}
    return _with(deployment, values)


def one_line(text: str) -> str:
    """Return a person's words as one line without surrounding spaces.

    Raises:
        InvalidFileError: they are empty, longer than 500 characters, or hold line breaks or invisible controls.
    """
    try:
        return _LINE.validate_python(text.strip())
    except ValidationError as error:
        raise InvalidFileError(
            "The reason is not one line of 1 to 500 plain characters",
            why="It stands in the environment file, in commit messages and in tables.",
            hint="Say in one sentence why, without line breaks.",
        ) from error


def _check(deployment: Deployment, release: Release) -> None:
    if release.model != deployment.model:
        raise RefusedError(f"{release} is not a release of {deployment.model}")
    if release.id == _current(deployment):
        raise RefusedError(
            f"{deployment.environment} declares {release} already",
            why="There is nothing to change.",
            hint="towpath status",
        )


def _current(deployment: Deployment) -> str | None:
    return deployment.release.id if deployment.release else None


def _with(deployment: Deployment, values: Mapping[str, object]) -> Deployment:
    """Return the deployment with some fields replaced, validated as a whole."""
    fields = {name: getattr(deployment, name) for name in Deployment.model_fields}
    return Deployment.model_validate(fields | dict(values))
