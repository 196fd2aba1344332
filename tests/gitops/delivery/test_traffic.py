"""What a service counts: read as its own library writes it, and refused when it is anything else."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from towpath_gitops.delivery.traffic import Traffic, parse_traffic
from towpath_gitops.errors import InvalidFileError

BOUNDS = (0.001, 0.01, 0.1, 1.0)
RELEASE = "sha256:" + "a" * 64
LINE = f'towpath_requests_total{{lane="champion",release="{RELEASE}",status="200"}} 3.0'


def written(statuses: dict[str, int], latencies_s: list[float]) -> str:
    """Return what the service's own library writes for one release, and for requests of nobody."""
    registry = CollectorRegistry()
    labels = ("lane", "release")
    requests = Counter("towpath_requests", "Requests.", (*labels, "status"), registry=registry)
    seconds = Histogram("towpath_request_seconds", "Latency.", labels, buckets=BOUNDS, registry=registry)
    requests.labels("none", "none", "422").inc(1000)
    for status, count in statuses.items():
        requests.labels("champion", RELEASE, status).inc(count)
    for latency_s in latencies_s:
        seconds.labels("champion", RELEASE).observe(latency_s)
    return generate_latest(registry).decode()


@given(
    st.dictionaries(st.sampled_from(["200", "500", "503"]), st.integers(1, 10_000), min_size=1),
    st.lists(st.floats(0.0001, 3.0), max_size=40),
)
def test_what_the_library_writes_is_read_back(statuses: dict[str, int], latencies_s: list[float]) -> None:
    """Requests, faults and latencies of a release, and nothing of what callers did wrong."""
    found = parse_traffic(written(statuses, latencies_s))["champion", RELEASE]
    assert found.requests == sum(statuses.values())
    assert found.errors == statuses.get("500", 0) + statuses.get("503", 0)
    assert found.timed == len(latencies_s)
    assert dict(found.within) == (
        {bound: sum(latency <= bound for latency in latencies_s) for bound in BOUNDS} if latencies_s else {}
    )


@given(st.lists(st.floats(0.0001, 3.0), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_holds_it(latencies_s: list[float], share: float) -> None:
    """The estimate is at most one bucket away from the latency that was measured."""
    found = parse_traffic(written({"200": 1}, latencies_s))["champion", RELEASE]
    estimate = found.quantile_s(share)
    assert estimate is not None
    exact = sorted(latencies_s)[max(0, math.ceil(len(latencies_s) * share) - 1)]
    edges = (0.0, *BOUNDS, float("inf"))
    low, high = next(pair for pair in pairwise(edges) if pair[0] < exact <= pair[1])
    assert low <= estimate <= high


def test_what_was_never_asked_has_no_latency() -> None:
    """Neither a number nor a zero that would look fast."""
    assert Traffic().quantile_s(0.99) is None
    assert Traffic().error_share == 0.0


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(" 3.0", ""),
        LINE.replace("3.0", "-1.0"),
        LINE.replace("3.0", "NaN"),
        LINE.replace("3.0", "+Inf"),
        LINE.replace("3.0", "0.5"),
        LINE.replace('status="200"', 'code="200"'),
        LINE.replace('lane="champion",', ""),
        LINE.replace('lane="champion"', "lane=champion"),
        LINE.replace('status="200"', 'status="200",'),
        LINE.replace("}", ""),
        f'towpath_request_seconds_bucket{{lane="champion",release="{RELEASE}",le="fast"}} 1.0',
        f'towpath_request_seconds_bucket{{lane="champion",release="{RELEASE}",le="nan"}} 1.0',
        f'towpath_request_seconds_bucket{{lane="champion",release="{RELEASE}",le="0.1"}} 1.0',
    ],
)
def test_a_line_of_ours_that_is_none_is_refused(line: str) -> None:
    """A guard that misreads a service is worse than none: the fault is named."""
    with pytest.raises(InvalidFileError, match="/metrics"):
        parse_traffic(f"{LINE}\n{line}\n")


@given(st.text())
def test_foreign_text_is_passed_over_or_refused(text: str) -> None:
    """Whatever a stranger answers, nothing but a refusal comes of it."""
    assert parse_traffic(text) == {} or text.startswith("towpath_")
    for line in ("towpath_requests_total{" + text, LINE + text):
        try:
            parse_traffic(line)
        except InvalidFileError:
            continue
