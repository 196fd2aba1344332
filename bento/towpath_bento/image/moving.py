"""An image is pushed, moved between registries and verified: by digest alone, with equal bytes at both ends."""

from dataclasses import dataclass

from towpath_bento.image import shelf
from towpath_bento.image.build import LAYOUT, Built
from towpath_bento.image.oci import ARTIFACT_LABEL, BILL_LABEL, RELEASE_LABEL, Described
from towpath_gitops.errors import DigestMismatchError, RefusedError
from towpath_gitops.records.base import short
from towpath_gitops.records.image import BuiltImage, ImageRecord
from towpath_gitops.records.release import Release


@dataclass(frozen=True)
class Moved:
    """Where an image is now, and whether it had to be copied."""

    image: str  # repository@digest
    tag: str
    copied: bool


def tag_of(release: Release, digest: str) -> str:
    """Return the tag of an image of a release: for people and garbage collectors, never obeyed.

    It names the image, too: the same release on a patched base is another image, beside the first.
    """
    return f"{release.semver}-{release.short_id}-{short(digest)}"


def push(built: Built, release: Release, registry: str) -> tuple[Moved, ImageRecord]:
    """Copy a built image to a registry; return where it is and the record to keep. What is there already stays.

    Raises:
        InvalidFileError: `registry` is no address of one.
        RefusedError: the tag points at another image there; nothing was changed.
        DigestMismatchError: what the registry holds afterwards is not what was built, or not of this release.
        UnavailableError, DeliveryError: the registry does not answer, or refuses.
    """
    digest = built.record.digest
    repository, tag = shelf.repository_in(registry, release.model), tag_of(release, built.record.digest)
    copied = _free(repository, tag, digest)
    if copied:
        shelf.copy_layout(built.folder / LAYOUT, repository, tag)
    moved = _arrived(repository, tag, digest, copied=copied)
    require_true(shelf.look(repository, digest), release, built.record)
    return moved, ImageRecord(**built.record.model_dump(), image=moved.image)


def sync(record: ImageRecord, release: Release, source: str, target: str) -> Moved:
    """Copy an image by its digest from one registry to another, and compare both ends; nothing to do is a success.

    Raises:
        InvalidFileError, RefusedError, UnavailableError, DeliveryError: as `push`.
        NotFoundError: the source does not hold the image.
        DigestMismatchError: one end has other bytes than the record, or speaks of another release.
    """
    origin, repository = (shelf.repository_in(registry, release.model) for registry in (source, target))
    require_true(shelf.look(origin, record.digest), release, record)
    tag = tag_of(release, record.digest)
    copied = _free(repository, tag, record.digest)
    if copied:
        shelf.copy_image(origin, record.digest, repository, tag)
    moved = _arrived(repository, tag, record.digest, copied=copied)
    require_true(shelf.look(repository, record.digest), release, record)
    return moved


def require_true(found: Described, release: Release, record: BuiltImage) -> None:
    """Compare what an image says of itself with its release and its record.

    Raises:
        DigestMismatchError: it is another image, carries another release, or has another bill of materials.
        RefusedError: it runs as root.
    """
    wanted = {RELEASE_LABEL: release.id, ARTIFACT_LABEL: release.artifact, BILL_LABEL: record.sbom}
    if found.digest != record.digest or record.release != release.id:
        raise DigestMismatchError(
            f"This is not the image on record of {release}",
            why=f"It is {found.digest}; the record says {record.digest}.",
        )
    for label, value in wanted.items():
        if found.labels.get(label) != value:
            raise DigestMismatchError(
                f"The image {short(found.digest)} does not carry {release}",
                why=f"Its label {label} is “{found.labels.get(label)}”, not {value}.",
            )
    if found.user.partition(":")[0] in {"", "0", "root"}:
        raise RefusedError(f"The image {short(found.digest)} runs as root", why=f"Its user is “{found.user}”.")


def _free(repository: str, tag: str, digest: str) -> bool:
    """Return whether a tag is free; False where it points at the image already."""
    there = shelf.digest_of_tag(repository, tag)
    if there not in {None, digest}:
        raise RefusedError(
            f"{repository}:{tag} points at another image",
            why=f"It is {there}, and not {digest}. Whoever moved it may have replaced what was approved.",
            hint="Look at it before anything else; then remove the tag there, and run this again.",
        )
    return there is None


def _arrived(repository: str, tag: str, digest: str, *, copied: bool) -> Moved:
    there = shelf.digest_of_tag(repository, tag)
    if there != digest:
        raise DigestMismatchError(
            f"{repository}:{tag} is not the image that was copied", why=f"It is {there}, and not {digest}."
        )
    return Moved(f"{repository}@{digest}", tag, copied)
