"""Counting answered requests, many at a time: one call of NumPy tells of a batch what a hundred would of its rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towpath_bento import metrics
from towpath_bento.columns import Places
from towpath_bento.deciding import decide, rule_of
from towpath_bento.journal.entry import Noted
from towpath_bento.lane import Lane
from towpath_bento.metrics import MOST_CLASSES, MOST_COLUMNS, MOST_RELEASES, OTHER
from towpath_gitops.records.signature import Column

_told: dict[str, None] = {}  # releases that have series of their own, in this worker


class Tally:
    """Counts what one lane answers with one release."""

    def __init__(self, name: str, lane: Lane) -> None:
        """Count for the lane `name`."""
        release, signature = lane.release, lane.codec.signature
        self._silent = name == metrics.SHADOW  # its answers are no caller's
        self._requests = metrics.REQUESTS.labels(name, release, "200")
        self._rows = metrics.ROWS.labels(name, release)
        self._latency = metrics.LATENCY.labels(name, release)
        self._classes = signature.classes if signature.task == "multiclass" else None
        self._rule = rule_of(signature)
        self._deciles = None if signature.deciles is None else np.array(signature.deciles)
        shown = _bounded(release)
        self._answer: Callable[[str], Any] = cache(lambda said: metrics.PREDICTIONS.labels(name, shown, said))
        self._features = None if name == metrics.PROBE else _Features(shown, lane)

    def count(self, noted: Sequence[Noted]) -> None:
        """Count answers, each with all its rows.

        Those to Towpath's own questions are nobody's traffic: they are timed, and no more.
        """
        if not self._silent:
            self._requests.inc(len(noted))
            self._rows.inc(sum(len(each.values) for each in noted))
            metrics.observe_all(self._latency, [each.took_s for each in noted])
        if self._features is not None:
            self._count_answers(np.concatenate([each.values for each in noted]))
            self._features.count(noted)

    def _count_answers(self, values: NDArray[Any]) -> None:
        if self._classes is not None:
            for place, times in _times(decide("multiclass", values, self._rule)):
                self._answer(self._classes[place] if place < MOST_CLASSES else OTHER).inc(times)
        elif self._deciles is not None:
            for place, times in _times(np.searchsorted(self._deciles, values[:, 0])):
                self._answer(str(place + 1)).inc(times)


class _Features:
    """Counts what is missing and what training never saw, by column."""

    def __init__(self, release: str, lane: Lane) -> None:
        places, inputs = Places(lane.codec.signature), {each.name: each for each in lane.codec.signature.inputs}
        known = frozenset(places.names[:MOST_COLUMNS])
        self._numbers, self._texts = places.numbers, places.texts
        self._lowest, self._highest = _ranges([inputs[name] for name in places.numbers])
        self._seen = [_texts_seen(inputs[name]) for name in places.texts]
        shown = {name: name if name in known else OTHER for name in places.names}
        self._missing: Callable[[str], Any] = cache(lambda name: metrics.MISSING.labels(release, shown[name]))
        self._unseen: Callable[[str], Any] = cache(lambda name: metrics.UNSEEN.labels(release, shown[name]))

    def count(self, noted: Sequence[Noted]) -> None:
        numbers = np.concatenate([each.columns.numbers for each in noted])
        _add(self._missing, self._numbers, np.isnan(numbers).sum(axis=0).tolist())
        beyond = (numbers < self._lowest) | (numbers > self._highest)
        _add(self._unseen, self._numbers, beyond.sum(axis=0).tolist())
        if self._texts:
            self._count_texts(np.concatenate([each.columns.texts for each in noted]).T.tolist())

    def _count_texts(self, columns: list[list[str]]) -> None:
        for name, seen, said in zip(self._texts, self._seen, columns, strict=True):
            times = Counter(said)
            _add(self._missing, (name,), (times.pop("", 0),))
            if seen is not None:
                _add(self._unseen, (name,), (sum(times[text] for text in times.keys() - seen),))


def _times(places: NDArray[np.int64]) -> list[tuple[int, int]]:
    counts = np.bincount(places).tolist()
    return [(place, times) for place, times in enumerate(counts) if times]


def _add(counter: Callable[[str], Any], names: Sequence[str], times: Sequence[int]) -> None:
    for name, count in zip(names, times, strict=True):
        if count:
            counter(name).inc(count)


def _ranges(columns: Sequence[Column]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the least and the greatest number that training saw of each column; infinite where that is unknown."""
    seen = [column.seen for column in columns]
    low = [-np.inf if each is None or each.minimum is None else each.minimum for each in seen]
    high = [np.inf if each is None or each.maximum is None else each.maximum for each in seen]
    return np.array(low, np.float32), np.array(high, np.float32)


def _texts_seen(column: Column) -> frozenset[str] | None:
    if column.seen is None or column.seen.categories is None:
        return None
    return frozenset(column.seen.categories)


def _bounded(release: str) -> str:
    if len(_told) < MOST_RELEASES:
        _told.setdefault(release)
    return release if release in _told else OTHER
