"""What a change does, in a title and in one sentence: one row for each type of change."""

from collections.abc import Callable, Mapping
from typing import Final

from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import ChangeType, Deployment, Experiment, PinnedRelease

_Words = Callable[[Deployment, Deployment], str]


def title(before: Deployment, after: Deployment) -> str:
    """Return the title of the pull request that turns `before` into `after`."""
    return _TITLES[_type(after)](before, after)


def summary(before: Deployment, after: Deployment) -> str:
    """Say in one sentence what the change from `before` to `after` does."""
    return _SUMMARIES[_type(after)](before, after)


def _type(after: Deployment) -> ChangeType:
    if after.change is None:
        message = "a deployment without a release changes nothing"
        raise ValueError(message)
    return after.change.type


# --- titles -------------------------------------------------------------------------------------------------------


def _promote(_: Deployment, after: Deployment) -> str:
    return f"Promote {_what(after)} to {after.environment}"


def _hotfix(_: Deployment, after: Deployment) -> str:
    return f"HOTFIX: promote {_what(after)} straight to {after.environment}"


def _rollback(_: Deployment, after: Deployment) -> str:
    return f"Roll {after.model} in {after.environment} back to {_semver(after.release)}"


def _repackage(_: Deployment, after: Deployment) -> str:
    return f"Repackage {_what(after)} in {after.environment}"


def _try(before: Deployment, after: Deployment) -> str:
    if after.experiment is None:
        return f"Stop the experiment with {after.model} {_tried(before.experiment)} in {after.environment}"
    return f"Try {after.model} {_tried(after.experiment)} in {after.environment}"


def _hold(before: Deployment, after: Deployment) -> str:
    more, fewer = _difference(before, after)
    if more or not fewer:
        return f"Keep {after.model} {more} out of {after.environment}"
    return f"Let {after.model} {fewer} into {after.environment} again"


_TITLES: Final[Mapping[ChangeType, _Words]] = {
    ChangeType.PROMOTE: _promote,
    ChangeType.HOTFIX: _hotfix,
    ChangeType.ROLLBACK: _rollback,
    ChangeType.REPACKAGE: _repackage,
    ChangeType.EXPERIMENT: _try,
    ChangeType.HOLD: _hold,
}


# --- sentences ----------------------------------------------------------------------------------------------------


def _serves(before: Deployment, after: Deployment) -> str:
    new = _named(after.release)
    if before.release is None:
        return f"{after.environment} begins to serve {after.model}, with {new}."
    return f"{after.environment} serves {after.model} {new} instead of {_named(before.release)}."


def _serves_now(before: Deployment, after: Deployment) -> str:
    return f"{_serves(before, after)} It is a hotfix: it goes around the environments before."


def _goes_back(before: Deployment, after: Deployment) -> str:
    return f"{after.environment} goes back from {after.model} {_named(before.release)} to {_named(after.release)}."


def _carried(_: Deployment, after: Deployment) -> str:
    image = after.release.image if after.release else None
    return f"{after.environment} serves the same {_named(after.release)} of {after.model} from the image {image}."


def _beside(before: Deployment, after: Deployment) -> str:
    trial, champion = after.experiment, _named(after.release)
    if trial is None:
        return f"{after.environment} serves {after.model} {champion} alone again, without {_tried(before.experiment)}."
    requests = f"shadows {trial.share:.0%} of" if trial.mode == "shadow" else f"answers {trial.share:.0%} of"
    challenger = f"{_named(trial.challenger)} {requests} the requests beside {champion}"
    return f"In {after.environment} {after.model} {challenger}, in mode {trial.mode}."


def _blocks(before: Deployment, after: Deployment) -> str:
    more, fewer = _difference(before, after)
    stays = f"{_named(after.release)} goes on serving"
    if more or not fewer:
        return f"Nothing brings {after.model} {more} into {after.environment} until the hold is lifted; {stays}."
    return f"{after.model} {fewer} may be promoted to {after.environment} again; {stays}."


_SUMMARIES: Final[Mapping[ChangeType, _Words]] = {
    ChangeType.PROMOTE: _serves,
    ChangeType.HOTFIX: _serves_now,
    ChangeType.ROLLBACK: _goes_back,
    ChangeType.REPACKAGE: _carried,
    ChangeType.EXPERIMENT: _beside,
    ChangeType.HOLD: _blocks,
}


def _what(after: Deployment) -> str:
    return f"{after.model} {_semver(after.release)}"


def _semver(release: PinnedRelease | None) -> str:
    return release.semver if release else "nothing"


def _named(release: PinnedRelease | None) -> str:
    return f"{release.semver} ({short(release.id)})" if release else "nothing"


def _tried(experiment: Experiment | None) -> str:
    return _semver(experiment.challenger if experiment else None)


def _difference(before: Deployment, after: Deployment) -> tuple[str, str]:
    """Return the short ids of the releases that are blocked from now on, and of those that no longer are."""
    old, new = before.blocked, after.blocked
    more = ", ".join(short(release) for release in new if release not in old)
    return more, ", ".join(short(release) for release in old if release not in new)
