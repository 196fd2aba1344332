"""What a service's owner may set, as arguments of `model_server` in bento/service.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from towpath_bento.limits import MAX_BODY_BYTES
from towpath_gitops.errors import InvalidFileError

UnknownColumns = Literal["refuse", "ignore"]
MOST_LOST_S: Final = 5.0  # of what is remembered, when a worker is killed


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What a service remembers of its answers, for the monitor and for people: a share of its requests, as Parquet.

    Columns that the owner's schema marks as sensitive are never written. Where memory or disk run out, rows are dropped
    and counted, and no caller waits.

    Args:
        share: of the requests that are answered; 0 turns the journal off.
        folder: where its files lie; by default in the folder from which a local target serves. An image has no such
            folder: there the journal is on only where `folder` or `s3` is given.
        s3: `s3://bucket/prefix` instead of a folder. Credentials, region and endpoint are found as AWS's own tools find
            them; how long objects are kept is for the bucket's lifecycle rules to say.
        flush_s: seconds after which an answer is on disk at the latest, and so what a killed worker forgets at most.
        file_rows: rows of one file, after which the next is begun.
        max_bytes: of all files in the folder together; the oldest are removed.
        queue_bytes: of the requests, as they were sent, that wait to be written in one worker.

    Raises:
        InvalidFileError: a value is out of its range.
    """

    share: float = 0.1
    folder: str | Path | None = None
    s3: str | None = None
    flush_s: float = 2.0
    file_rows: int = 20_000
    max_bytes: int = 2**30
    queue_bytes: int = 2**24

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _require("Journal", "share", self.share, holds=0 <= self.share <= 1, rule="between 0 and 1")
        _require(
            "Journal", "flush_s", self.flush_s, holds=0 < self.flush_s <= MOST_LOST_S, rule=f"at most {MOST_LOST_S:g}"
        )
        for name in ("file_rows", "max_bytes", "queue_bytes"):
            _require("Journal", name, getattr(self, name), holds=getattr(self, name) > 0, rule="more than 0")
        _require(
            "Journal",
            "s3",
            self.s3,
            holds=self.s3 is None or self.s3.startswith("s3://"),
            rule="an address s3://bucket/prefix",
        )
        _require(
            "Journal", "folder", self.folder, holds=not (self.folder and self.s3), rule="left out where s3 is given"
        )

    @property
    def is_placed(self) -> bool:
        """Whether its owner turned it on and said where, so that it is on in an image too."""
        return self.share > 0 and bool(self.folder or self.s3)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker takes on, and what becomes of columns that the model does not know.

    Args:
        waiting: large requests that may wait for a thread, and small ones in one turn of a worker that is late; those
            beyond are answered 503 with `Retry-After`.
        wait_s: seconds by which a worker may be late before it answers 503.
        body_bytes: of all large requests of a worker together, as they arrive and until they are answered; those beyond
            are answered 503 with `Retry-After`.
        releases: held in memory beside those in lanes, for an instant way back and for whoever asks them by id.
        unknown_columns: `refuse` answers 422 and names the column; `ignore` leaves it unread.

    Raises:
        InvalidFileError: a value is out of its range.
    """

    waiting: int = 16
    wait_s: float = 0.5
    body_bytes: int = 2**28
    releases: int = 4
    unknown_columns: UnknownColumns = "refuse"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("waiting", "releases"):
            _require("Limits", name, getattr(self, name), holds=getattr(self, name) >= 0, rule="0 or more")
        _require("Limits", "wait_s", self.wait_s, holds=self.wait_s > 0, rule="more than 0")
        least = f"{MAX_BODY_BYTES} or more, as much as one request may have"
        _require("Limits", "body_bytes", self.body_bytes, holds=self.body_bytes >= MAX_BODY_BYTES, rule=least)
        known = get_args(UnknownColumns)
        rule = " or ".join(known)
        _require("Limits", "unknown_columns", self.unknown_columns, holds=self.unknown_columns in known, rule=rule)


@dataclass(frozen=True, kw_only=True)
class ManyRows:
    """Which engines may answer many rows, where they prove to be faster on the machine that serves.

    Args:
        threads: that may compute one request's rows; by default the cores of the machine, shared out among the workers,
            and at most eight. With 1 a request has one.
        native: whether XGBoost or LightGBM may answer itself. Its libraries, of which an image holds none otherwise,
            then are part of one, and a worker that uses them takes 100 to 200 MB more memory.

    Raises:
        InvalidFileError: a value is out of its range.
    """

    threads: int | None = None
    native: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        holds = self.threads is None or self.threads > 0
        _require("ManyRows", "threads", self.threads, holds=holds, rule="more than 0")


@dataclass(frozen=True, kw_only=True)
class Logs:
    """What a service prints.

    Args:
        json: one JSON object to a line, with the ids of request and trace, instead of words.
        requests: a line for each request, also one that is refused for want of a key; it costs more than a small
            prediction does.
    """

    json: bool = False
    requests: bool = False


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """Spans for OpenTelemetry, sent by OTLP to where `OTEL_EXPORTER_OTLP_ENDPOINT` says; a service has none by default.

    Args:
        share: of the requests without a `traceparent` that are traced; where a caller has one, it has decided.

    Raises:
        InvalidFileError: the share is none.
    """

    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _require("Tracing", "share", self.share, holds=0 <= self.share <= 1, rule="between 0 and 1")


def _require(kind: str, name: str, value: object, *, holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidFileError(
            f"{kind}(): {name} is {value!r}", why=f"It must be {rule}.", hint="Correct it in bento/service.py."
        )
