"""What a service counts at `/metrics`, as far as it tells how a release treats its callers.

Only our own metrics are read, in Prometheus' text format, and strictly: a line of theirs that cannot be read is a
fault. All counts are since the service started, over all of its workers.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, Self

from pydantic import Field, NonNegativeInt

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.base import Record

_REQUESTS: Final = "towpath_requests_total"
_BUCKETS: Final = "towpath_request_seconds_bucket"
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^{}]*)\} (\S+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"(?:,|$)')
_INFINITY: Final = "+Inf"
_SERVER_ERROR: Final = re.compile(r"5\d\d")

Lane = tuple[str, str]  # the lane's name and the release's id
Bounds = tuple[tuple[float, NonNegativeInt], ...]


class Traffic(Record):
    """What one release has answered in one lane."""

    requests: NonNegativeInt = Field(default=0, description="answered with predictions or with a fault of the service")
    errors: NonNegativeInt = Field(default=0, description="answered with 5xx")
    timed: NonNegativeInt = Field(default=0, description="requests whose latency is known")
    within: Bounds = Field(default=(), description="seconds → how many were answered within them; seconds grow")

    def since(self, earlier: Self) -> Self:
        """Return what was answered after `earlier`, which the same service said before."""
        before = dict(earlier.within)
        return type(self)(
            requests=self.requests - earlier.requests,
            errors=self.errors - earlier.errors,
            timed=self.timed - earlier.timed,
            within=tuple((bound, count - before.get(bound, 0)) for bound, count in self.within),
        )

    def is_after(self, earlier: Self) -> bool:
        """Return whether this can be what the same service says later: no count has fallen."""
        before, now = dict(earlier.within), dict(self.within)
        fallen = any(now.get(bound, 0) < count for bound, count in before.items())
        counts = ((self.requests, earlier.requests), (self.errors, earlier.errors), (self.timed, earlier.timed))
        return not fallen and all(later >= sooner for later, sooner in counts)

    @property
    def error_share(self) -> float:
        """The share of requests that were answered with 5xx; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile_s(self, share: float) -> float | None:
        """Return the latency that `share` of the requests stay below, in seconds.

        Linear within a bucket, as Prometheus' `histogram_quantile` has it. Infinite where it lies beyond the last
        bound, None without requests.
        """
        if not self.timed:
            return None
        rank, lower, below = share * self.timed, 0.0, 0
        for bound, count in self.within:
            if count >= rank:
                return lower + (bound - lower) * (rank - below) / (count - below) if count > below else bound
            lower, below = bound, count
        return float("inf")


def parse_traffic(text: str, *, source: str = "/metrics") -> Mapping[Lane, Traffic]:
    """Return what each release has answered in each lane.

    Raises:
        InvalidFileError: a line of one of our metrics is not one, or counts do not fit each other.
    """
    found: dict[Lane, dict[str, dict[str, int]]] = {}
    for name, labels, value in _samples(text, source):
        key = labels.get("status") if name == _REQUESTS else labels.get("le")
        if key is None or "lane" not in labels or "release" not in labels:
            raise InvalidFileError(
                f"{source}: {name} lacks a label", why="It comes from another version of the service."
            )
        counts = found.setdefault((labels["lane"], labels["release"]), {_REQUESTS: {}, _BUCKETS: {}})
        counts[name][key] = counts[name].get(key, 0) + value
    return {lane: _traffic(counts[_REQUESTS], counts[_BUCKETS], source) for lane, counts in found.items()}


def _samples(text: str, source: str) -> Iterator[tuple[str, Mapping[str, str], int]]:
    for line in text.splitlines():
        if line.startswith((_REQUESTS + "{", _BUCKETS + "{")):
            match = _SAMPLE.fullmatch(line)
            labels = _labels(match[2]) if match else None
            if match is None or labels is None:
                raise InvalidFileError(f"{source}: this is not a sample: {line[:100]}")
            yield match[1], labels, _count(match[3], source)


def _labels(text: str) -> Mapping[str, str] | None:
    pairs = list(_LABEL.finditer(text))
    whole = "".join(pair[0] for pair in pairs) == text and not text.endswith(",")
    return {pair[1]: pair[2] for pair in pairs} if whole else None


def _count(text: str, source: str) -> int:
    """Return a count, which Prometheus writes as a float."""
    with suppress(ValueError, OverflowError):  # the latter: infinite
        value = float(text)
        if value >= 0 and value == int(value):
            return int(value)
    raise InvalidFileError(f"{source}: {text[:40]} is not a count")


def _traffic(statuses: Mapping[str, int], buckets: Mapping[str, int], source: str) -> Traffic:
    bounds = sorted((_bound(bound, source), count) for bound, count in buckets.items() if bound != _INFINITY)
    timed = buckets.get(_INFINITY, 0)
    counts = [count for _, count in bounds] + [timed]
    if counts != sorted(counts):
        raise InvalidFileError(f"{source}: the counts of a histogram fall", why="A bucket holds those below it, too.")
    return Traffic(
        requests=sum(statuses.values()),
        errors=sum(count for status, count in statuses.items() if _SERVER_ERROR.fullmatch(status)),
        timed=timed,
        within=tuple(bounds),
    )


def _bound(text: str, source: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if math.isfinite(value) and value > 0:
            return value
    raise InvalidFileError(f"{source}: {text[:40]} is not the bound of a bucket")
