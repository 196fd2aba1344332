"""An image as files: the OCI image layout that a builder writes, read and checked without a builder or a registry."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from towpath_gitops.errors import DigestMismatchError, InvalidFileError
from towpath_gitops.records.base import digest_bytes

INDEX: Final = "index.json"
BASE_DIGEST: Final = "org.opencontainers.image.base.digest"  # an annotation that buildah and podman write
RELEASE_LABEL: Final = "towpath.release"
ARTIFACT_LABEL: Final = "towpath.artifact"
BILL_LABEL: Final = "towpath.sbom"


@dataclass(frozen=True)
class Described:
    """What an image says of itself: its manifest and its configuration, whose bytes were compared with their digests.

    `digest` is that of the manifest; by it every registry knows the image.
    """

    digest: str
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that were given to it when it was built."""
        return dict(self.config.get("config", {}).get("Labels") or {})

    @property
    def user(self) -> str:
        """Whom it runs as; empty for root."""
        return str(self.config.get("config", {}).get("User") or "")

    @property
    def size_bytes(self) -> int:
        """The bytes of its compressed layers and its configuration."""
        return sum(int(part["size"]) for part in [self.manifest["config"], *self.manifest["layers"]])

    @property
    def base_digest(self) -> str | None:
        """The digest of the image below, where the builder tells."""
        return (self.manifest.get("annotations") or {}).get(BASE_DIGEST) or None


def described(manifest: bytes, config: bytes, digest: str) -> Described:
    """Return what an image says, after its bytes have been compared with `digest`.

    Raises:
        DigestMismatchError: the manifest is not the one that the digest names, or the configuration not the manifest's.
        InvalidFileError: it is no image manifest.
    """
    _require(manifest, digest, "The image's manifest")
    try:
        parsed = json.loads(manifest)
        wanted = parsed["config"]["digest"]
        _ = parsed["layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidFileError(
            f"{digest} is not the manifest of one image", why=f"It has no config and layers: {error!r}"
        ) from error
    _require(config, wanted, "The image's configuration")
    return Described(digest, parsed, json.loads(config))


def read_layout(folder: Path) -> Described:
    """Return the one image in an OCI image layout; every blob it names is there and is what its digest says.

    Raises:
        InvalidFileError: there is no image, or not exactly one.
        DigestMismatchError: a blob is damaged.
    """
    try:
        entries = json.loads((folder / INDEX).read_bytes())["manifests"]
        (digest,) = (entry["digest"] for entry in entries)
        manifest = _blob(folder, digest).read_bytes()
        found = described(manifest, _blob(folder, json.loads(manifest)["config"]["digest"]).read_bytes(), digest)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidFileError(f"{folder} is not an OCI layout with one image", why=repr(error)) from error
    for layer in found.manifest["layers"]:
        _require(_blob(folder, layer["digest"]).read_bytes(), layer["digest"], "A layer of the image")
    return found


def _blob(folder: Path, digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    if algorithm != "sha256" or not name.isalnum():
        message = f"{digest} is not a sha256 digest"
        raise ValueError(message)
    return folder / "blobs" / algorithm / name


def _require(data: bytes, digest: str, what: str) -> None:
    found = digest_bytes(data)
    if found != digest:
        raise DigestMismatchError(f"{what} is not what its digest says", why=f"It should be {digest} and is {found}.")
