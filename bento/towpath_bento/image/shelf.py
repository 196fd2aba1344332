"""Images in registries, by skopeo: asked for by digest, copied with the digest kept, never trusted to a tag."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from towpath_bento.image.oci import Described, described
from towpath_bento.image.tools import MOVER, missing_tool
from towpath_gitops.errors import DeliveryError, InvalidFileError, NotFoundError, UnavailableError
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.image import RepositoryName

_REPOSITORY: Final[TypeAdapter[str]] = TypeAdapter(RepositoryName)
_LOOPBACK: Final = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?/")  # no certificate is to be had for these
_ABSENT: Final = ("manifest unknown", "name unknown", "not found", "status 404")
_AWAY: Final = ("connection refused", "no such host", "timeout", "no route to host", "connection reset", "status 50")
_TIMEOUT_S: Final = 900
_LAST_LINES: Final = 5


def repository_in(registry: str, model: str) -> str:
    """Return the repository of a model's images below the address of a registry: `ghcr.io/acme` → `ghcr.io/acme/canal`.

    Raises:
        InvalidFileError: it is no such address.
    """
    name = f"{registry.rstrip('/')}/{model}"
    try:
        return _REPOSITORY.validate_python(name)
    except ValidationError as error:
        raise InvalidFileError(
            f"“{registry}” is not the address of a registry",
            why="It is host, port and path in lower case, without https:// and without a tag.",
            hint="Write it as in: ghcr.io/acme",
        ) from error


def digest_of_tag(repository: str, tag: str) -> str | None:
    """Return the digest of the manifest that a tag points at now; None where there is no such tag.

    Raises:
        UnavailableError: the registry does not answer.
        DeliveryError: it refuses.
    """
    manifest = _manifest(f"{repository}:{tag}")
    return digest_bytes(manifest) if manifest is not None else None


def look(repository: str, digest: str) -> Described:
    """Return what the image with this digest says of itself, its bytes compared with their digests.

    Raises:
        NotFoundError: the registry does not hold it.
        DigestMismatchError: the registry answers with other bytes.
        UnavailableError, DeliveryError: as `digest_of_tag`.
    """
    place = f"{repository}@{digest}"
    manifest = _manifest(place)
    if manifest is None:
        raise NotFoundError(f"{repository} does not hold the image {digest}", hint="towpath image push, or sync")
    return described(manifest, _skopeo("inspect", "--raw", "--config", *tls(place), f"docker://{place}"), digest)


def copy_layout(layout: Path, repository: str, tag: str) -> None:
    """Copy the image of an OCI layout to a registry, its digest kept.

    Raises:
        UnavailableError, DeliveryError: as `digest_of_tag`.
    """
    _copy(f"oci:{layout}", repository, tag)


def copy_image(source: str, digest: str, repository: str, tag: str) -> None:
    """Copy an image from the repository `source` to another, its digest kept.

    Raises:
        UnavailableError, DeliveryError: as `digest_of_tag`.
    """
    _copy(f"docker://{source}@{digest}", repository, tag, *tls(source, "src-"))


def _copy(source: str, repository: str, tag: str, *flags: str) -> None:
    target = f"docker://{repository}:{tag}"
    _skopeo(
        "copy", "--quiet", "--preserve-digests", "--retry-times=2", *flags, *tls(repository, "dest-"), source, target
    )


def _manifest(place: str) -> bytes | None:
    try:
        return _skopeo("inspect", "--raw", *tls(place), f"docker://{place}")
    except NotFoundError:
        return None


def tls(place: str, side: str = "") -> tuple[str, ...]:
    """Return the option by which skopeo and podman ask a registry on this machine without a certificate."""
    return (f"--{side}tls-verify=false",) if _LOOPBACK.match(place) else ()


def _skopeo(*arguments: str) -> bytes:
    if shutil.which(MOVER) is None:
        raise missing_tool("Asking a registry", MOVER)
    try:
        done = subprocess.run([MOVER, *arguments], capture_output=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("The registry does not answer", why=f"It took over {_TIMEOUT_S} s.") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    why = "\n".join(said.splitlines()[-_LAST_LINES:])
    if any(word in said.lower() for word in _ABSENT):
        raise NotFoundError("The registry does not hold the image", why=why)
    if any(word in said.lower() for word in _AWAY):
        raise UnavailableError("The registry does not answer", why=why, hint="Is it running? Then try again.")
    raise DeliveryError("The registry refused", why=why, hint=f"{MOVER} login REGISTRY, where it asks who you are")
