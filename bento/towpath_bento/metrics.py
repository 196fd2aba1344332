"""What is counted. Correct over all workers of a service: they share files in `PROMETHEUS_MULTIPROC_DIR`."""

import os
from functools import lru_cache
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # set by BentoML for its workers
NO_LANE: Final = "none"
PROBE: Final = "probe"  # the lane of what Towpath itself asks: such requests are nobody's traffic

# From half a millisecond, about what one row takes, to the seconds of a full batch on a busy machine.
_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_RELEASE: Final = ("lane", "release")

REQUESTS: Final = Counter("towpath_requests", "Requests for predictions answered.", (*_RELEASE, "status"))
ROWS: Final = Counter("towpath_rows", "Rows predicted.", _RELEASE)
LATENCY: Final = Histogram(
    "towpath_request_seconds", "From a request's headers to its answer.", _RELEASE, buckets=_BUCKETS_S
)
SERVING: Final = Gauge(
    "towpath_serving_workers", "Workers that hold a release live.", _RELEASE, multiprocess_mode="livesum"
)
GENERATION: Final = Gauge("towpath_generation", "Oldest generation that a worker serves.", multiprocess_mode="livemin")
LOAD_FAILURES: Final = Counter("towpath_load_failures", "Wanted generations that a worker could not bring live.")
SHADOW_ROWS: Final = Counter("towpath_shadow_rows", "Rows scored in the shadow lane.", ("release",))
SHADOW_DIFFERENCE: Final = Counter(
    "towpath_shadow_difference", "Sum over rows of the greatest difference from the champion's answer.", ("release",)
)
SHADOW_DROPPED: Final = Counter("towpath_shadow_dropped", "Requests not shadowed for want of room in its queue.")


def render() -> bytes:
    """Return all metrics of all workers in Prometheus' text format."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client does not annotate it
    return generate_latest(registry)


def count_answer(lane: str, release: str, rows: int, took_s: float) -> None:
    """Count a request that was answered with predictions."""
    requests, counted_rows, latency = _answers(lane, release)
    requests.inc()
    counted_rows.inc(rows)
    latency.observe(took_s)


@lru_cache(maxsize=64)
def _answers(lane: str, release: str) -> tuple[Counter, Counter, Histogram]:
    """Return what counts a lane's answers: to look it up by its labels takes longer than to count."""
    return REQUESTS.labels(lane, release, "200"), ROWS.labels(lane, release), LATENCY.labels(lane, release)


def count_refusal(status: int, lane: str = NO_LANE, release: str = NO_LANE) -> None:
    """Count a request that was answered with a problem: in the lane that failed, or in none."""
    REQUESTS.labels(lane, release, str(status)).inc()


def forget_process(pid: int) -> None:
    """Drop the live gauges of a worker that has ended; its counters stay in the sums."""
    if FOLDER_VARIABLE in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client does not annotate it
