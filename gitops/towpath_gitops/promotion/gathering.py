"""Collecting what a decision document is made from: evidence, the history of environments, and the commits between."""

from collections.abc import Callable, Sequence

from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError, UnavailableError
from towpath_gitops.promotion import declared, gallery
from towpath_gitops.promotion.change import pinned
from towpath_gitops.promotion.decision import Link, Named, Picture, Step, Upstream, WayBack
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.draft import Draft
from towpath_gitops.promotion.inputs import Inputs
from towpath_gitops.promotion.pictures import draw, says
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.promotion.safety import unsafe
from towpath_gitops.records.base import format_duration, short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.image import ImageRecord, carries
from towpath_gitops.records.release import Release
from towpath_gitops.redaction import redacted

_LONGEST_SUBJECT = 120


def gather(desk: Desk, draft: Draft, commit: str, *, reasons: Sequence[Reason], approvals: int) -> Inputs:
    """Return all that is known about a change that is, or will be, proposed as `commit`.

    Raises:
        UnavailableError: the registry does not answer.
        InvalidFileError: what main declares, or the evidence on it, cannot be read.
    """
    repository, main, policy = desk.repository, draft.main, draft.policy
    demands, old = policy.environment(draft.after.environment), draft.before.declared
    above = policy.upstream(draft.after.environment) if demands else None
    skips = draft.change.type is ChangeType.HOTFIX
    return Inputs(
        release=draft.release,
        brings=draft.brings,
        demanded=tuple(demands.evidence) if demands and draft.brings else (),
        evidence=draft.evidence,
        former=declared.evidence(repository, main, old.id) if old else {},
        served_in=policy.last.name,
        champion=declared.crowned(repository, main, draft.after.model),
        above=above.name if above and draft.brings else None,
        skips=skips and above is not None,
        upstream=_upstream(desk, draft, above.name) if above and draft.brings and not skips else None,
        steps=_steps(desk, old, draft.release),
        way_back=_way_back(desk, draft),
        reasons=reasons,
        approvals=approvals,
        image=_image(desk, draft),
        pictures=_pictures(desk, draft, commit),
        links=_links(desk, draft, commit),
    )


def _upstream(desk: Desk, draft: Draft, above: str) -> Upstream | None:
    """Return how the release fares in the environment before; None when it never was verified there."""
    release, demands = draft.release, draft.policy.environment(draft.after.environment)
    latest = desk.history.last_verified(above, release.model, release.id)
    if latest is None or latest.verdict is None or demands is None:
        return None
    return Upstream(
        environment=above,
        verdict=latest.verdict,
        verified=latest.time,
        healthy_since=desk.history.healthy_since(above, release.model, release.id),
        soak=format_duration(demands.soak),
    )


def _steps(desk: Desk, old: Release | None, new: Release) -> list[Step] | None:
    """Return the commits between the code of two releases, newest first; None where this clone lacks one of them.

    Promotions and merges are left out: they change what serves, not what is trained.
    """
    if old is None or old.code == new.code:
        return []
    if desk.repository.resolve(old.code) is None or desk.repository.resolve(new.code) is None:
        return None
    commits = desk.repository.log(new.code, since=old.code, first_parent=False)
    own = [each for each in commits if len(each.parents) < 2 and not each.trailers("Towpath-Release")]  # noqa: PLR2004 (a merge has two)
    return [Step(commit=each.sha, subject=_line(each.message)) for each in own]


def _line(message: str) -> str:
    first = (message.strip().splitlines() or ["(no message)"])[0]
    return "".join(letter if letter.isprintable() else " " for letter in first)[:_LONGEST_SUBJECT]


def _image(desk: Desk, draft: Draft) -> ImageRecord | None:
    """Return the record of the image that the change names for its release; the registry is asked only then."""
    about = pinned(draft.before, draft.after)
    if about is None or about.image is None or about.id != draft.release.id:
        return None
    try:
        return carries(desk.store.images(draft.release), about.image)
    except (NotFoundError, UnavailableError):
        if draft.brings:
            raise
        return None  # the way back waits for no registry


# --- the way back -------------------------------------------------------------------------------------------------


def _way_back(desk: Desk, draft: Draft) -> WayBack:
    """Say where a rollback of this change would lead; a proposal never fails because there is no way back yet."""
    before, environment = draft.before.declared, draft.after.environment
    if draft.change.type is ChangeType.ROLLBACK:
        left = short(draft.before.release.id) if draft.before.release else "nothing"
        words = f"The release that it leaves, {left}, is blocked from coming back until somebody lifts the hold."
        return WayBack(release=None, safe=False, words=words)
    if before is None:
        words = "It is the first release here: there is nothing to go back to."
        return WayBack(release=None, safe=False, words=words)
    if draft.after.declared == before:
        return WayBack(release=_name(before), safe=True, words=_undo(draft))
    reasons = unsafe(desk, draft.after, before)
    words = (
        f"There is no safe way back to what serves now, {before}."
        if reasons
        else f"towpath rollback --environment {environment} leads back to {before}, which is safe to return to now."
    )
    return WayBack(release=_name(before), safe=not reasons, words=words, reasons=reasons)


def _name(release: Release) -> Named:
    return Named(id=release.id, semver=release.semver)


def _undo(draft: Draft) -> str:
    stays = f"What serves in {draft.after.environment} stays as it is"
    if draft.change.type is ChangeType.EXPERIMENT and draft.after.experiment:
        stop = f"towpath experiment stop --environment {draft.after.environment}"
        return f"{stays}; {stop} ends the experiment."
    return f"{stays}; the opposite change undoes it."


# --- where to look ------------------------------------------------------------------------------------------------


def _pictures(desk: Desk, draft: Draft, commit: str) -> list[Picture]:
    drawn, places = draw(draft.evidence) if draft.brings else {}, gallery.paths(draft.release)
    return [
        Picture(name=name, says=says(data), to=desk.forge.link(commit, places[name])) for name, data in drawn.items()
    ]


def _links(desk: Desk, draft: Draft, commit: str) -> list[Link]:
    link: Callable[[str, str], str] = desk.forge.link
    release, old = draft.release, draft.before.declared
    file = layout.environment_path(draft.after.environment, draft.after.model)
    found = [Link(what="the environment file as it would be", to=link(commit, file))]
    if draft.brings:
        kinds = sorted(draft.evidence)
        found += [
            Link(what=f"{kind} evidence", to=link(commit, layout.evidence_path(release.short_id, kind)))
            for kind in kinds
        ]
    found.append(Link(what="model.yaml that it was trained by", to=link(release.code, layout.MODEL)))
    if old is not None and old.code != release.code:
        found.append(Link(what="the code that changed", to=f"git diff {old.code[:12]} {release.code[:12]}"))
    return [*found, Link(what="the release in the registry", to=_registered(desk, release))]


def _registered(desk: Desk, release: Release) -> str:
    """Return the registry's page of a release, or where it has no page, MLflow's own name for it."""
    address = redacted(layout.tracking_uri(desk.repository.root)).rstrip("/")
    if address.startswith(("http://", "https://")):
        return f"{address}/#/models/{release.model}/versions/{release.version}"
    return f"models:/{release.model}/{release.version}"
