"""The edits that a promotion may make to a deployment. Pure: a deployment and a wish become a new deployment."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter, ValidationError

from towpath_gitops.errors import InvalidFileError, RefusedError
from towpath_gitops.records.base import Line
from towpath_gitops.records.deployment import (
    Change,
    ChangeType,
    Deployment,
    Experiment,
    Hold,
    Mode,
    PinnedRelease,
)
from towpath_gitops.records.release import Release
from towpath_gitops.redaction import redacted

_NOTHING: Final = "There is nothing to change."
_LINE: TypeAdapter[str] = TypeAdapter(Line)


def promote(  # noqa: PLR0913 (what changes, why, on what grounds and by which lane)
    deployment: Deployment,
    release: Release,
    reason: str,
    evidence: str | None,
    *,
    image: str | None = None,
    hotfix: bool = False,
) -> Deployment:
    """Return the deployment that declares `release`, resting on the bundle of evidence with the digest `evidence`.

    What is blocked stays blocked; an experiment ends, because its champion is replaced. A hotfix is the same edit under
    another name, which it keeps.

    Raises:
        RefusedError: the release is declared already, or is of another model.
        InvalidFileError: the reason is not one line, or the image is not pinned by digest.
    """
    _check(deployment, release)
    kind = ChangeType.HOTFIX if hotfix else ChangeType.PROMOTE
    change = Change(type=kind, replaces=_current(deployment), reason=one_line(reason), evidence=evidence)
    return _with(deployment, {"release": _carried(release, image), "change": change, "experiment": None})


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
    values = {"release": _carried(to, image), "change": change, "hold": hold, "experiment": None}
    return _with(deployment, values)


def repackage(deployment: Deployment, image: str, reason: str) -> Deployment:
    """Return the deployment whose release is carried by another `image`: the same model on another base.

    Raises:
        RefusedError: nothing is declared, or it is carried by this image already.
        InvalidFileError: the reason is not one line, or the image is not pinned by digest.
    """
    release = _declared(deployment)
    if release.image == image:
        raise RefusedError(f"{deployment.environment} declares this image already", why=_NOTHING)
    carried = _carried(release.release(deployment.model), image)
    return _with(deployment, {"release": carried, "change": _same(deployment, ChangeType.REPACKAGE, reason)})


def _carried(release: Release, image: str | None) -> PinnedRelease:
    """Pin a release, and the image that carries it."""
    try:
        return PinnedRelease.of(release, image)
    except ValidationError as error:
        raise InvalidFileError(
            f"“{image}” is not an image pinned by digest", why="Tags move.", hint="Name it as registry/name@sha256:…"
        ) from error


def hold(deployment: Deployment, release: Release, reason: str, by: str, now: datetime) -> Deployment:
    """Return the deployment that also blocks `release`, whatever serves.

    Raises:
        RefusedError: it is blocked already, serves now, is of another model, or nothing is declared.
        InvalidFileError: the reason is not one line.
    """
    _of_model(deployment, release)
    if release.id in deployment.blocked:
        raise RefusedError(f"{release} is blocked in {deployment.environment} already", why=_NOTHING)
    if release.id == _declared(deployment).id:
        raise RefusedError(
            f"{release} serves in {deployment.environment}",
            why="What serves cannot be kept from coming back.",
            hint=f"Leave it, which blocks it: towpath rollback --environment {deployment.environment}",
        )
    change = _same(deployment, ChangeType.HOLD, reason)
    blocked = Hold(blocked=(*deployment.blocked, release.id), reason=change.reason, by=by, since=now)
    return _with(deployment, {"change": change, "hold": blocked})


def unhold(deployment: Deployment, release: Release, reason: str) -> Deployment:
    """Return the deployment that no longer blocks `release`; what else is blocked stays so.

    Raises:
        RefusedError: it is not blocked.
        InvalidFileError: the reason is not one line.
    """
    if deployment.hold is None or release.id not in deployment.blocked:
        raise RefusedError(f"{release} is not blocked in {deployment.environment}", why=_NOTHING)
    rest = tuple(blocked for blocked in deployment.blocked if blocked != release.id)
    left = deployment.hold.model_copy(update={"blocked": rest}) if rest else None
    return _with(deployment, {"change": _same(deployment, ChangeType.HOLD, reason), "hold": left})


def experiment(  # noqa: PLR0913 (who, how, how much, why and on what grounds)
    deployment: Deployment,
    challenger: Release,
    *,
    mode: Mode,
    share: float,
    reason: str,
    evidence: str | None,
    image: str | None = None,
) -> Deployment:
    """Return the deployment that lets `challenger` serve beside the champion, instead of any challenger before it.

    Raises:
        RefusedError: it is the champion, is of another model, or nothing is declared.
        InvalidFileError: the reason is not one line, the share is not between 0 and 1, or the image is not pinned by
            digest.
    """
    _of_model(deployment, challenger)
    if challenger.id == _declared(deployment).id:
        raise RefusedError(f"{challenger} is the champion of {deployment.environment} itself")
    carried = _carried(challenger, image)
    try:
        beside = Experiment(challenger=carried, mode=mode, share=share)
    except ValidationError as error:
        raise InvalidFileError(f"{share} is not a share of requests", hint="Write one between 0 and 1: 0.1") from error
    change = _same(deployment, ChangeType.EXPERIMENT, reason).model_copy(update={"evidence": evidence})
    return _with(deployment, {"change": change, "experiment": beside})


def stop_experiment(deployment: Deployment, reason: str) -> Deployment:
    """Return the deployment in which the champion serves alone again.

    Raises:
        RefusedError: there is no experiment.
        InvalidFileError: the reason is not one line.
    """
    if deployment.experiment is None:
        raise RefusedError(f"There is no experiment in {deployment.environment}", why=_NOTHING)
    return _with(deployment, {"change": _same(deployment, ChangeType.EXPERIMENT, reason), "experiment": None})


class Lane(StrEnum):
    """Which way a change takes: each asks for approvals of its own."""

    FORWARD = "forward"
    HOTFIX = "hotfix"
    BACK = "back"


def lane(before: Deployment, after: Deployment) -> Lane:
    """Return the lane of the change from `before` to `after`: what only takes a risk away goes the short way."""
    kind = after.change.type if after.change else None
    if kind is ChangeType.HOTFIX:
        return Lane.HOTFIX
    blocks = kind is ChangeType.HOLD and set(before.blocked) <= set(after.blocked)
    stops = kind is ChangeType.EXPERIMENT and after.experiment is None
    return Lane.BACK if kind is ChangeType.ROLLBACK or blocks or stops else Lane.FORWARD


def brings(after: Deployment) -> bool:
    """Return whether a change brings a release into service that must show evidence: promoted, or as a challenger."""
    kind = after.change.type if after.change else None
    forward = kind in {ChangeType.PROMOTE, ChangeType.HOTFIX}
    return forward or (kind is ChangeType.EXPERIMENT and after.experiment is not None)


def subject(before: Deployment, after: Deployment) -> Release | None:
    """Return the release that a change is about: a challenger that comes or goes, or else what is declared after it."""
    about = pinned(before, after)
    return about.release(after.model) if about else None


def pinned(before: Deployment, after: Deployment) -> PinnedRelease | None:
    """Return the release that a change is about, as it is pinned, with the image that carries it."""
    if after.change and after.change.type is ChangeType.EXPERIMENT:
        tried = after.experiment or before.experiment
        return tried.challenger if tried else None
    return after.release


def one_line(text: str) -> str:
    """Return a person's words as one line without surrounding spaces.

    Raises:
        InvalidFileError: they are empty, longer than 500 characters, hold line breaks or invisible controls, or a
            secret.
    """
    if redacted(text) != text:
        raise InvalidFileError(
            "The reason holds a secret, or what looks like one",
            why="It would stand in the environment file and in every clone for ever.",
            hint="Leave it out, and replace the secret where it was shown.",
        )
    try:
        return _LINE.validate_python(text.strip())
    except ValidationError as error:
        raise InvalidFileError(
            "The reason is not one line of 1 to 500 plain characters",
            why="It stands in the environment file, in commit messages and in tables.",
            hint="Say in one sentence why, without line breaks.",
        ) from error


def _check(deployment: Deployment, release: Release) -> None:
    _of_model(deployment, release)
    if release.id == _current(deployment):
        raise RefusedError(
            f"{deployment.environment} declares {release} already",
            why=_NOTHING,
            hint="towpath status",
        )


def _of_model(deployment: Deployment, release: Release) -> None:
    if release.model != deployment.model:
        raise RefusedError(f"{release} is not a release of {deployment.model}")


def _declared(deployment: Deployment) -> PinnedRelease:
    if deployment.release is None:
        raise RefusedError(
            f"Nothing is declared in {deployment.environment} yet",
            hint="Promote a release to it first: towpath promote",
        )
    return deployment.release


def _same(deployment: Deployment, kind: ChangeType, reason: str) -> Change:
    """Return the change of a kind that leaves the release as it is: it replaces what it declares."""
    return Change(type=kind, replaces=_declared(deployment).id, reason=one_line(reason))


def _current(deployment: Deployment) -> str | None:
    return deployment.release.id if deployment.release else None


def _with(deployment: Deployment, values: Mapping[str, object]) -> Deployment:
    """Return the deployment with some fields replaced, validated as a whole."""
    fields = {name: getattr(deployment, name) for name in Deployment.model_fields}
    return Deployment.model_validate(fields | dict(values))
