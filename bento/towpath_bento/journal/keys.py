"""Entity keys that nobody shall read: the same key has the same hash, and only who has the secret can tell which."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.signature import Signature

KEY_VARIABLE: Final = "TOWPATH_JOURNAL_KEY"  # the secret; shared by all machines whose journals are read together
_KEY_BYTES: Final = 32
_SHOWN: Final = 32  # hex digits of a hash


def is_readable(signature: Signature) -> bool:
    """Whether the entity key may be written as it is: the owner's schema names its column, and marks it not."""
    known = signature.entity is not None and signature.sensitive is not None
    return known and signature.entity not in (signature.sensitive or ())


def hashed(entity: str, secret: bytes) -> str:
    """Return what is written in the place of a key: HMAC-SHA256 (RFC 2104), its first 128 bits."""
    return "hmac:" + hmac.new(secret, entity.encode(), hashlib.sha256).hexdigest()[:_SHOWN]


def secret_of_machine() -> bytes:
    """Return `TOWPATH_JOURNAL_KEY`, or else the secret that the first service on this machine made for its user.

    Raises:
        NotFoundError: there is none, and none can be kept.
    """
    if given := os.environ.get(KEY_VARIABLE):
        return given.encode()
    path = _path()
    try:
        return _read(path) or _make(path)
    except OSError as error:
        raise NotFoundError(
            "There is no secret to hash entity keys with",
            why=f"{path}: {error.strerror}.",
            hint=f"Set {KEY_VARIABLE}.",
        ) from error


def _path() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home, "towpath", "journal.key")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes().strip() or None
    except FileNotFoundError:
        return None


def _make(path: Path) -> bytes:
    """Make a secret; of several workers that begin at once one wins, and all return what it made."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(_KEY_BYTES).encode())
        os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(own, path)
    finally:
        os.close(descriptor)
        own.unlink()
    return path.read_bytes().strip()
