"""What all records share: they are frozen, refuse unknown keys, and have one canonical form and digest."""

import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema

SHORT_ID_LENGTH = 12

ApiVersion = Literal["towpath/v1"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Semver = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")]
Image = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._:/-]{0,200}@sha256:[0-9a-f]{64}$")]
# One line of a person's words, fit for a commit message or a table: no control characters, no other line breaks, and
# none of the marks that make text read in another order than it is written.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=rf"^[^{_UNSEEN}]+$")]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match:
        return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    if isinstance(value, timedelta):
        return value
    message = "write a duration as a number and a unit: 50ms, 30s, 10m, 1h or 7d"
    raise ValueError(message)


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that leaves it whole: `timedelta(days=7)` → `7d`."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS_S[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["50ms", "30s", "7d"]}),
]


class Record(BaseModel):
    """A frozen value with named fields; unknown keys and implicit conversions between kinds are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, allow_inf_nan=False
    )

    def plain(self) -> dict[str, Any]:
        """Return the record as JSON types only, under the names that files use."""
        return self.model_dump(mode="json", by_alias=True)


def canonical_json(value: object) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, UTF-8, no NaN (after RFC 8785).

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_of(value: object) -> str:
    """Return `sha256:` and the hash of the value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def digest_bytes(data: bytes) -> str:
    """Return `sha256:` and the hash of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the digest of a file, read in blocks, so that its size does not matter."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def short(digest: str) -> str:
    """Return the first twelve hex digits of a digest: what people see and branch names hold."""
    return digest.removeprefix("sha256:")[:SHORT_ID_LENGTH]
