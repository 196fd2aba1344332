"""What a signature of a release says, in the format of OpenSSF model signing.

What is signed is the folder that a release is: `release.json`, its canonical JSON, beside every file of its artifact
below `model/`. The digest of that `release.json` is the release's id, and the signed list of files gives the digest of
its artifact. A signature therefore fits one release only, and it is checked without a byte of the model at hand; that
the bytes are those of the digest is checked wherever they are fetched. Who signs is the business of `signers`.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Final, Protocol

from towpath_gitops.errors import SignatureError
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.release import Release

RELEASE_FILE: Final = "release.json"
ARTIFACT: Final = "model"
MAX_BYTES: Final = 4 * 1024 * 1024  # of a signature: it lists every file of an artifact

HASHING: Final = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
_PREDICATE: Final = "https://model_signing/signature/v1.0"
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Trust(Protocol):
    """Whose signatures are believed."""

    def signer(self, signature: bytes, files: Mapping[str, str]) -> str | None:
        """Return who signed the list of `files` (path → digest), or None when nobody who is believed did."""
        ...


class Signer(Protocol):
    """Who signs."""

    def sign(self, name: str, files: Mapping[str, str]) -> bytes:
        """Return a signature of the list of `files` (path → digest) of the thing called `name`."""
        ...


def sign(release: Release, files: Mapping[str, str], signer: Signer) -> bytes:
    """Return a signature of a release whose artifact holds `files` (path → digest).

    Raises:
        SignatureError: the files are not those of the release: nobody vouches for what they have not seen.
        InvalidFileError, NotFoundError: the key cannot be used.
    """
    if digest_of(dict(files)) != release.artifact:
        raise SignatureError(f"These are not the files of {release}", why="Their digest differs from the release's.")
    return signer.sign(f"{release.model}-{release.semver}", _signed_files(release, files))


def check(signature: bytes, release: Release, trust: Trust) -> str:
    """Return who signed the release.

    Raises:
        SignatureError: the signature is broken, is one of another release, or is by nobody who is believed.
        UnavailableError: whoever would have to vouch does not answer.
    """
    files = _listed(signature)
    artifact = {path.removeprefix(f"{ARTIFACT}/"): value for path, value in files.items() if path != RELEASE_FILE}
    if files != _signed_files(release, artifact) or digest_of(artifact) != release.artifact:
        raise SignatureError(
            f"The signature is not one of {release}",
            why="It lists other files, or names another release.",
            hint=f"Sign this one: towpath sign {release.short_id}",
        )
    signer = trust.signer(signature, files)
    if signer is None:
        raise SignatureError(
            f"Nobody whom the policy names has signed {release}",
            why="The signature is broken, or made with a key that is not among policy.signing on main.",
            hint=f"Let a key holder sign it: towpath sign {release.short_id} --key FILE",
        )
    return signer


def _signed_files(release: Release, artifact: Mapping[str, str]) -> dict[str, str]:
    return {RELEASE_FILE: release.id} | {f"{ARTIFACT}/{path}": value for path, value in artifact.items()}


def _listed(signature: bytes) -> dict[str, str]:
    """Return path → digest of what a signature speaks of; whether it is genuine is not asked here.

    Raises:
        SignatureError: it is no signature of a list of files.
    """
    if len(signature) > MAX_BYTES:
        raise SignatureError(f"The signature is larger than {MAX_BYTES // 1024**2} MB")
    try:
        bundle = json.loads(signature)
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        predicate = statement["predicate"]
        if (statement["predicateType"], predicate["serialization"]) != (_PREDICATE, HASHING):
            raise ValueError(f"{statement['predicateType']} by {predicate['serialization']}")  # noqa: TRY301 (said below)
        items = [(item["name"], item["algorithm"], item["digest"]) for item in predicate["resources"]]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        words = f"{type(error).__name__}: {error}"[:300]
        raise SignatureError("The signature is not in the format of OpenSSF model signing", why=words) from error
    if not all(_is_sane(*item) for item in items) or len({name for name, *_ in items}) != len(items):
        raise SignatureError("The signature lists a file twice, or without a SHA-256 digest")
    return {name: f"sha256:{value}" for name, _, value in items}


def _is_sane(name: object, algorithm: object, value: object) -> bool:
    return isinstance(name, str) and algorithm == "sha256" and isinstance(value, str) and bool(_HEX.fullmatch(value))
