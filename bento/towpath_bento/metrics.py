"""What is counted. Correct over all workers of a service: they share files in `PROMETHEUS_MULTIPROC_DIR`."""

import os
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from towpath_bento.problems import FieldError, ProblemError
from towpath_gitops.records.signature import Signature

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # set by BentoML for its workers
NO_LANE: Final = "none"
# So many time series at most: of a model's features, of its classes, of releases in one worker.
MOST_COLUMNS: Final = 100
MOST_CLASSES: Final = 50
MOST_RELEASES: Final = 50
OTHER: Final = "(other)"  # shares one series among all that are beyond
SHADOW: Final = "shadow"
NAMED: Final = "named"  # the lane of what callers ask of a release by its id
PROBE: Final = "probe"  # the lane of what Towpath itself asks: such requests are nobody's traffic

if FOLDER_VARIABLE in os.environ:  # somebody may have removed it since: a worker must be able to start all the same
    Path(os.environ[FOLDER_VARIABLE]).mkdir(parents=True, exist_ok=True)

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
SHADOW_DISAGREEMENTS: Final = Counter(
    "towpath_shadow_disagreements", "Rows for which the shadow decides otherwise than the champion.", ("release",)
)
LIVE_SINCE: Final = Gauge(
    "towpath_live_since_timestamp_seconds",
    "When a release became live in its lane, in the last worker; 0 when it no longer is.",
    _RELEASE,
    multiprocess_mode="livemax",
)
PREDICTIONS: Final = Counter(
    "towpath_predictions",
    "Rows by their answer: the tenth (1 to 10) of training's answers that it falls into, or the class.",
    (*_RELEASE, "answer"),
)
MISSING: Final = Counter("towpath_feature_missing", "Values that were missing.", ("release", "column"))
UNSEEN: Final = Counter(
    "towpath_feature_unseen", "Texts that training never saw, and numbers beyond its range.", ("release", "column")
)
MANY_ROWS: Final = Counter(
    "towpath_many_rows", "Rows predicted by the engine for many rows, where there is one.", ("release", "engine")
)
REFUSED: Final = Counter("towpath_feature_refused", "Values that do not fit the contract.", ("column",))
LOOKUPS: Final = Counter("towpath_lookups", "Questions to the online store: answered or failed.", ("outcome",))
LOOKUP_SECONDS: Final = Histogram(
    "towpath_lookup_seconds", "From a question to the online store to its answer.", buckets=_BUCKETS_S
)
LOOKUP_KEYS: Final = Counter(
    "towpath_lookup_keys",
    "Keys by what the online store knew: found, unknown, or only what is stale.",
    ("view", "known"),
)
JOURNAL_ROWS: Final = Counter("towpath_journal_rows", "Rows that the journal has written.")
JOURNAL_DROPPED: Final = Counter("towpath_journal_dropped", "Requests not remembered for want of room in its queue.")
JOURNAL_FAILURES: Final = Counter("towpath_journal_failures", "Times that the journal could not be written.")
CPU: Final = Counter("towpath_process_cpu_seconds", "Processor time of all workers.")
MEMORY: Final = Gauge("towpath_process_memory_bytes", "Resident memory of all workers.", multiprocess_mode="livesum")
BUILD: Final = Gauge(
    "towpath_build_info",
    "What the service was built from; always 1.",
    ("version", "python", "bentoml", "onnxruntime"),
    multiprocess_mode="livemax",
)


def render() -> bytes:
    """Return all metrics of all workers in Prometheus' text format.

    Raises:
        ProblemError: 503, this worker's files are not there any more: what is left would be less than was counted.
    """
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    if not any(Path(os.environ[FOLDER_VARIABLE]).glob(f"*_{os.getpid()}.db")):
        detail = "The files of the metrics were removed. They come back when the service is started again."
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after="60")
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client does not annotate it
    return generate_latest(registry)


def observe_all(histogram: Histogram, took_s: Sequence[float]) -> None:
    """Observe many at once: one by one, with files to write to, would cost each request as much as its prediction."""
    places = Counted(bisect_left(histogram._upper_bounds, each) for each in took_s)  # noqa: SLF001 (no public way)
    for place, times in places.items():
        histogram._buckets[place].inc(times)  # noqa: SLF001 (as above)
    histogram._sum.inc(sum(took_s))  # noqa: SLF001 (as above)


def count_refusal(status: int, lane: str = NO_LANE, release: str = NO_LANE) -> None:
    """Count a request that was answered with a problem: in the lane that failed, or in none."""
    REQUESTS.labels(lane, release, str(status)).inc()


def count_refused(errors: Sequence[FieldError], signature: Signature) -> None:
    """Count the fields that a refused request names; names that are no column's share one series."""
    known = {column.name for column in signature.inputs[:MOST_COLUMNS]}
    named = Counted(each["field"] for each in errors if each["field"] is not None)
    for name, times in named.items():
        REFUSED.labels(name if name in known else OTHER).inc(times)


def forget_process(pid: int) -> None:
    """Drop the live gauges of a worker that has ended; its counters stay in the sums."""
    if FOLDER_VARIABLE in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client does not annotate it
