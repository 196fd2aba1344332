"""Secrets that must not be shown: those of this process's environment, those in addresses, and those that look it.

Whatever is told to people or written for others goes through here: errors as they are made, the command line as it
prints, reasons as they are given. What was read from git goes out as it is: there it is public already, and changing it
would break its hashes.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN: Final = "…"
# Names of variables whose values are secrets; what ends so names a file or a folder instead.
_SECRET: Final = re.compile(
    r"(TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|WEBHOOK|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)", re.IGNORECASE
)
_PLACE: Final = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
# A short value, or a plain word, would hide half of every sentence; and it is no secret that is worth the name.
_SHORTEST: Final = 6
_WORD: Final = re.compile(r"[a-z]{1,12}|[0-9]{1,6}")
_USER: Final = re.compile(r"://[^/\s\"'<>]*@")
_LOOKS: Final = re.compile(
    r"\bgh[pousr]_[A-Za-z0-9]{16,}\b"  # GitHub
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}\b"
    r"|\bglpat-[A-Za-z0-9_-]{16,}"  # GitLab
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{8,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # a JSON web token
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_QUERY: Final = re.compile(r"([?&;](?:password|passwd|token|secret|key|sig)=)[^&\s\"'<>]+", re.IGNORECASE)


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return `text` without the secrets of the environment (by default this process's), and without what looks so."""
    shown = _QUERY.sub(rf"\1{HIDDEN}", _LOOKS.sub(HIDDEN, _USER.sub(f"://{HIDDEN}@", text)))
    # Longer ones first: a secret may hold another.
    for secret in sorted(set(_secrets(os.environ if environment is None else environment)), key=len, reverse=True):
        shown = shown.replace(secret, HIDDEN)
    return shown


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        found = [value] if _SECRET.search(name) and not _PLACE.search(name) else []
        if "://" in value:
            found += _in_address(value)
        yield from (secret for secret in found if len(secret) >= _SHORTEST and not _WORD.fullmatch(secret))


def _in_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.password:
        yield from {parts.password, unquote(parts.password)}
    yield from (value for name, value in parse_qsl(parts.query) if _SECRET.search(name) or name in {"key", "sig"})
