"""Who signs releases, and whose signatures are believed: holders of keys, or identities that Sigstore has recorded.

The library `model_signing` does the work. It is imported when first used, which takes half a second.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from towpath_gitops.errors import InvalidFileError, MissingDependencyError, NotFoundError, UnavailableError
from towpath_gitops.signing import HASHING

PRIVATE: Final = "signing.key"
PUBLIC: Final = "signing.pub"
KEY_VARIABLE: Final = "TOWPATH_SIGNING_KEY"  # path of the private key
PASSPHRASE_VARIABLE: Final = "TOWPATH_SIGNING_PASSPHRASE"  # noqa: S105 (the variable's name)


@dataclass(frozen=True)
class PublicKeys:
    """Elliptic curve keys: path on main → PEM. A signature by any of them is believed."""

    keys: Mapping[str, bytes]

    def signer(self, signature: bytes, files: Mapping[str, str]) -> str | None:
        """Return the path of the key that made the signature.

        Raises:
            InvalidFileError: one of the files is no public key.
        """
        library = _library()
        with TemporaryDirectory(prefix="towpath-keys-") as folder:
            for path, pem in self.keys.items():
                file = Path(folder, PUBLIC)
                file.write_bytes(pem)
                try:
                    verifier = library.verifying.Config().use_elliptic_key_verifier(public_key=file)
                except library.broken as error:
                    raise InvalidFileError(
                        f"{path} is not a public key on one of the curves P-256, P-384 and P-521",
                        why=str(error).splitlines()[0][:200] if str(error) else "",
                        hint="Make a pair: towpath sign --new-key DIR",
                    ) from error
                if library.holds(verifier, signature, files):
                    return path
        return None


@dataclass(frozen=True)
class PrivateKey:
    """The secret half of a key pair, in a file that is read when it is used."""

    path: Path
    passphrase: str | None = field(default=None, repr=False)

    def sign(self, name: str, files: Mapping[str, str]) -> bytes:
        """Return a signature by this key.

        Raises:
            NotFoundError: there is no such file.
            InvalidFileError: it is no private key, or the passphrase does not open it.
        """
        return _library().signature(self.opened(), name, files)

    def opened(self) -> Any:  # noqa: ANN401 (the library's own)
        """Return the library's signer, which shows that the key can be used.

        Raises:
            NotFoundError, InvalidFileError: as `sign`.
        """
        library = _library()
        secret = self.passphrase.encode() if self.passphrase else None
        try:
            return library.signing.Config().use_elliptic_key_signer(private_key=self.path, password=secret)
        except OSError as error:
            raise NotFoundError(f"The signing key {self.path} cannot be read", why=error.strerror or "") from error
        except library.broken as error:
            raise InvalidFileError(
                f"{self.path} cannot be used as a signing key",
                why=f"{error}"[:200],
                hint=f"It is a P-256 key in PEM; its passphrase is read from {PASSPHRASE_VARIABLE}.",
            ) from error


def configured(path: Path | None = None) -> PrivateKey | None:
    """Return the key at `path`, or the one that the environment names; None when neither does.

    A passphrase comes from the environment only: a command line is seen by everybody on the machine.
    """
    named = path or (Path(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None)
    return PrivateKey(named, os.environ.get(PASSPHRASE_VARIABLE) or None) if named else None


def new_key_pair(folder: Path, passphrase: str | None = None) -> tuple[Path, Path]:
    """Make a P-256 key pair in `folder` and return the paths of its private and its public half.

    The private half can be read by its owner only, and is encrypted where there is a passphrase.

    Raises:
        InvalidFileError: the folder holds such a file already; nothing is overwritten.
    """
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 (only this function needs it)
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 (as above)

    private, public = folder / PRIVATE, folder / PUBLIC
    for path in (private, public):
        if path.exists():
            raise InvalidFileError(f"There is a file {path} already", hint="Name another folder.")
    key = ec.generate_private_key(ec.SECP256R1())
    secrecy = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_new(private, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, secrecy), 0o600)
    openly = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, openly, 0o644)
    return private, public


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that never had wider permissions than `mode`, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# --- keyless ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Somebody whom an OpenID Connect issuer vouches for, with Sigstore's public log as the witness.

    Both directions ask Sigstore over the network.
    """

    identity: str
    issuer: str

    def signer(self, signature: bytes, files: Mapping[str, str]) -> str | None:
        """Return the identity when it made the signature.

        Raises:
            UnavailableError: Sigstore does not answer.
        """
        library = _library()
        with _asking_sigstore():
            verifier = library.verifying.Config().use_sigstore_verifier(identity=self.identity, oidc_issuer=self.issuer)
            return self.identity if library.holds(verifier, signature, files) else None

    def sign(self, name: str, files: Mapping[str, str]) -> bytes:
        """Return a signature by the identity that this machine has, as in a workflow with OpenID Connect.

        Raises:
            UnavailableError: Sigstore or the issuer does not answer.
        """
        library = _library()
        with _asking_sigstore():
            signer = library.signing.Config().use_sigstore_signer(use_ambient_credentials=True)
            return library.signature(signer, name, files)


@contextmanager
def _asking_sigstore() -> Iterator[None]:
    """Turn what keeps Sigstore from answering into the one retryable failure."""
    from sigstore.errors import Error  # noqa: PLC0415 (comes with the library, takes long)

    try:
        yield
    except (Error, OSError) as error:
        raise UnavailableError(
            "Sigstore does not answer",
            why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            hint="Keyless signatures need the network. Then try again.",
        ) from error


# --- the library --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Library:
    """What is used of `model_signing`, with the list of files given to it instead of a folder to read."""

    hashing: Any
    manifest: Any
    signing: Any
    verifying: Any
    digest: Any
    broken: tuple[type[Exception], ...]  # how it stumbles over bytes that are no key or no signature
    wrong: tuple[type[Exception], ...]  # how it says that a signature does not hold

    def signature(self, signer: Any, name: str, files: Mapping[str, str]) -> bytes:  # noqa: ANN401 (the library's own)
        """Return the signature of a list of files."""
        with TemporaryDirectory(prefix="towpath-signature-") as folder:
            path = Path(folder, "signature")
            signer.set_hashing_config(self._known(name, files)).sign(Path(folder), path)
            return path.read_bytes()

    def holds(self, verifier: Any, signature: bytes, files: Mapping[str, str]) -> bool:  # noqa: ANN401 (as above)
        """Return whether a signature of exactly this list of files holds."""
        with TemporaryDirectory(prefix="towpath-signature-") as folder:
            path = Path(folder, "signature")
            path.write_bytes(signature)
            try:
                with redirect_stdout(StringIO()):  # it prints advice to signers of old
                    verifier.set_hashing_config(self._known("", files)).verify(Path(folder), path)
            except (*self.broken, *self.wrong):
                return False
        return True

    def _known(self, name: str, files: Mapping[str, str]) -> Any:  # noqa: ANN401 (as above)
        """Return the configuration that finds just these files, whatever folder is named."""
        kind = self.manifest.SerializationType.from_args(dict(HASHING))
        digests = {path: self.digest("sha256", bytes.fromhex(value[len("sha256:") :])) for path, value in files.items()}
        known = self.manifest.Manifest(name, [kind.new_item(path, value) for path, value in digests.items()], kind)
        configuration = self.hashing.Config()
        configuration.hash = lambda *_, **__: known
        return configuration


@lru_cache(maxsize=1)
def _library() -> _Library:
    """Import the library.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 (takes long)
        from model_signing import hashing, manifest, signing, verifying  # noqa: PLC0415 (takes half a second)
        from model_signing._hashing.hashing import Digest  # noqa: PLC0415 (what a manifest is made of; not public)
        from sigstore.errors import VerificationError  # noqa: PLC0415 (as above)
        from sigstore.models import InvalidBundle  # noqa: PLC0415 (as above)
    except ImportError as error:
        raise MissingDependencyError(
            "The library that signs and checks releases is not installed",
            why=str(error),
            hint="pip install 'towpath[signing]'",
        ) from error
    broken = (AttributeError, LookupError, TypeError, ValueError, UnsupportedAlgorithm)
    wrong = (InvalidSignature, VerificationError, InvalidBundle)
    return _Library(hashing, manifest, signing, verifying, Digest, broken, wrong)
